// Command node is every program of a one-node Kubernetes in one binary: the first argument says which.
//
// The programs share almost all of their code, so one binary links once, is cached once and lies in memory once.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // CronJobs with a timeZone need it where the machine has no zone files

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	// A link with the program's name works as well: kubectl finds its plugins and prints its help by that name.
	name, arguments := filepath.Base(os.Args[0]), os.Args
	commands := map[string]func() *cobra.Command{
		"kube-apiserver":          apiserver.NewAPIServerCommand,
		"kube-controller-manager": controllermanager.NewControllerManagerCommand,
		"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
		"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
		"kube-proxy":              proxy.NewProxyCommand,
		"kubectl":                 kubectl.NewDefaultKubectlCommand,
	}
	if _, known := commands[name]; !known && name != "etcd" {
		if len(os.Args) < 2 {
			fmt.Fprintln(os.Stderr, "usage: node PROGRAM [ARGUMENT...]")
			os.Exit(2)
		}
		name, arguments = os.Args[1], os.Args[1:]
	}
	os.Args = arguments
	if name == "etcd" {
		etcdmain.Main(arguments)
		return
	}
	command, known := commands[name]
	if !known {
		fmt.Fprintf(os.Stderr, "node: no program %q\n", name)
		os.Exit(2)
	}
	os.Exit(cli.Run(command()))
}
