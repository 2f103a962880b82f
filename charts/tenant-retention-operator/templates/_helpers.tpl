{{- define "tenant-retention-operator.name" -}}
tenant-retention-operator
{{- end }}

{{- define "tenant-retention-operator.fullname" -}}
{{- if contains "tenant-retention-operator" .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-tenant-retention-operator" .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "tenant-retention-operator.serviceAccountName" -}}
{{ include "tenant-retention-operator.fullname" . }}
{{- end }}

{{- define "tenant-retention-operator.tenantRoleName" -}}
{{ include "tenant-retention-operator.fullname" . }}-tenant
{{- end }}

{{- define "tenant-retention-operator.selectorLabels" -}}
app.kubernetes.io/name: tenant-retention-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{/* The pod of `helm test`, which asks the operator over the network. */}}
{{- define "tenant-retention-operator.testLabels" -}}
app.kubernetes.io/name: tenant-retention-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end }}

{{- define "tenant-retention-operator.labels" -}}
app.kubernetes.io/name: tenant-retention-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* An image reference: registry prefix, then repository, then digest or tag. Takes a dict: root, image. */}}
{{- define "tenant-retention-operator.image" -}}
{{- with .root.Values.global.imageRegistry }}{{ printf "%s/" (trimSuffix "/" .) }}{{ end -}}
{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag }}{{ end -}}
{{- end }}
