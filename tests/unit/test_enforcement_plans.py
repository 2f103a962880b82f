"""Plans and bindings: what is wrong is refused with the name of the field or file, and nothing secret is ever shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenant_retention.adapters.bindings import read_postgres_binding, read_s3_binding
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import Mode
from tenant_retention.enforcement.plans import load_plan
from tests.support.enforcement import archive, plan_of

POSTGRES = {
    "type": "postgresql",
    "provider": "existing",
    "host": "db.example",
    "port": "5432",
    "database": "acme",
    "username": "acme_enforcer_1",
    "password": "s3cret-word",
    "ca.crt": "-----BEGIN CERTIFICATE-----\n",
}
S3 = {
    "type": "s3",
    "BUCKET_NAME": "acme-content",
    "AWS_ENDPOINT_URL": "https://s3.example",
    "AWS_DEFAULT_REGION": "eu-1",
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": "s3cret-word",
}


def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(plan_of(archive()).model_dump_json(by_alias=True))
    return found


def written(directory: Path, content: object, name: str = "plan.json") -> Path:
    path = directory / name
    path.write_text(yaml.safe_dump(content) if name.endswith("yaml") else json.dumps(content))
    return path


def binding(directory: Path, files: dict[str, str], **changes: str | None) -> Path:
    target = directory / "binding"
    target.mkdir()
    for name, text in {**files, **changes}.items():
        if text is not None:
            (target / name).write_text(text)
    return target


@pytest.mark.parametrize("name", ["plan.json", "plan.yaml"])
def test_a_plan_reads_the_same_from_json_and_from_yaml(tmp_path: Path, name: str) -> None:
    assert load_plan(written(tmp_path, document(), name)) == plan_of(archive())


def test_a_plan_written_by_hand_needs_no_digest(tmp_path: Path) -> None:
    content = document()
    del content["rulesDigest"]
    content["mode"] = "DryRun"
    plan = load_plan(written(tmp_path, content, "plan.yaml"))
    assert plan.rules_digest == archive().rules_digest()
    assert plan.mode is Mode.DRY_RUN


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("definition", "categories", 0, "keep"), "30d", "definition.categories[0].keep"),
        (("definition", "categories", 0, "keep"), "30", "definition.categories[0].keep"),
        (("definition", "categories", 0, "keep"), "P1Y6M", "definition.categories[0].keep"),
        (("definition", "categories", 0, "keep"), "P0D", "definition.categories[0].keep"),
        (("definition", "categories", 0, "keep"), "P-3D", "definition.categories[0].keep"),
        (("definition", "categories", 0, "keep"), "P1.5M", "definition.categories[0].keep"),
        (("definition", "categories", 0, "keep"), " ", "definition.categories[0].keep"),
        (("definition", "categories", 0, "keep"), "P99999D", "definition.categories[0].keep"),
        (("definition", "categories", 0, "keep"), "P6Y", "definition.categories[0].maximum"),
        (("definition", "categories", 3, "minimum"), "P3Y", "definition.categories[3].keep"),
        (("definition", "categories", 1, "keep"), "P200D", "definition.categories[1].keep"),
        (("definition", "categories", 0, "anonymizeAfter"), "P7D", "definition.categories[1].keep"),
        (("definition", "categories", 0, "anonymizeAfter"), "P2Y", "definition.categories[0].keep"),
        (("definition", "categories", 1, "contentOf"), "voicemail", "definition.categories[1].contentOf"),
        (("definition", "categories", 1, "database"), "Dialogue", "definition.categories[1].database"),
        (("definition", "categories", 1, "tables"), ["tapes"], "definition.categories[1].tables"),
        (("definition", "categories", 1, "tables"), [], "definition.categories[1].tables"),
        (("definition", "tables", 2, "back"), "7Y", "definition.tables[2].back"),
        (("definition", "tables", 2, "primaryKey"), None, "definition.tables[2].primaryKey"),
        (("definition", "guardPercent"), 0, "definition.guardPercent"),
        (("definition", "marginSeconds"), -1, "definition.marginSeconds"),
        (("mode",), "Destroy", "mode"),
        (("version",), 2, "version"),
        (("databases", 0, "purpose"), 7, "databases[0].purpose"),
        (("surprise",), 1, "surprise"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_name_of_its_field__X1(
    tmp_path: Path, path: tuple[str | int, ...], value: object, field: str
) -> None:
    content: Any = document()
    place = content
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(Invalid) as refusal:
        load_plan(written(tmp_path, content))
    assert refusal.value.field == field
    assert field in refusal.value.message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plan.json", b"{"),
        ("plan.json", b"[1, 2]"),
        ("plan.json", b""),
        ("plan.json", b"\xff\xfe"),
        ("plan.json", b"[" * 100_000),
        ("plan.yaml", b"a:\n\t- b"),
        ("plan.yaml", b"a: \x00"),
        ("plan.yaml", b"!!python/object/apply:os.system [true]"),
        ("plan.yaml", b"just words"),
    ],
)
def test_a_file_that_is_no_plan_is_refused_with_its_name(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(Invalid, match=name):
        load_plan(path)


def test_a_plan_that_is_not_there_or_is_a_directory_is_refused_with_its_name(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(Invalid, match="cannot be read"):
            load_plan(path)


def test_a_postgresql_binding_is_read_as_it_is_mounted(tmp_path: Path) -> None:
    found = read_postgres_binding(binding(tmp_path, POSTGRES, password="s3cret-word\n"))
    assert (found.host, found.port, found.database, found.username) == ("db.example", 5432, "acme", "acme_enforcer_1")
    assert found.password == "s3cret-word"
    assert found.ca_file == tmp_path / "binding" / "ca.crt"
    assert "s3cret-word" not in repr(found)


def test_a_bucket_binding_is_read_as_it_is_mounted(tmp_path: Path) -> None:
    found = read_s3_binding(binding(tmp_path, S3))
    assert (found.bucket, found.endpoint, found.region, found.access_key) == (
        "acme-content",
        "https://s3.example",
        "eu-1",
        "AKIA",
    )
    assert found.ca is None, "no ca.crt: the system's authorities count"
    assert "s3cret-word" not in repr(found)


@pytest.mark.parametrize("key", ["type", "host", "port", "database", "username", "password"])
def test_a_missing_or_empty_file_of_a_binding_is_named(tmp_path: Path, key: str) -> None:
    directory = binding(tmp_path, POSTGRES, **{key: None})
    with pytest.raises(Invalid, match=f"{key}: is missing") as refusal:
        read_postgres_binding(directory)
    assert refusal.value.field == str(directory / key)
    (directory / key).write_text("")
    with pytest.raises(Invalid, match=f"{key}: is empty"):
        read_postgres_binding(directory)


@pytest.mark.parametrize("key", ["BUCKET_NAME", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_SECRET_ACCESS_KEY"])
def test_a_missing_file_of_a_bucket_binding_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(Invalid, match=f"{key}: is missing"):
        read_s3_binding(binding(tmp_path, S3, **{key: None}))


@pytest.mark.parametrize(
    ("key", "text", "says"),
    [
        ("type", "s3", "a binding of type 'postgresql' is needed"),
        ("port", "0", "no port number"),
        ("port", "65536", "no port number"),
        ("port", "５４３２", "no port number"),
        ("password", "one\ntwo", "line break"),
        ("password", "one\0two", "control character"),
        ("sslmode", "prefer", "verify-full"),
    ],
)
def test_a_wrong_file_of_a_binding_is_named_and_its_text_is_not_a_secret(
    tmp_path: Path, key: str, text: str, says: str
) -> None:
    with pytest.raises(Invalid, match=says) as refusal:
        read_postgres_binding(binding(tmp_path, POSTGRES, **{key: text}))
    assert f"{key}:" in refusal.value.message
    assert "two" not in refusal.value.message


def test_a_binding_that_is_not_mounted_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is no directory"):
        read_postgres_binding(tmp_path / "nowhere")


def test_the_example_plan_for_the_shell_is_a_plan() -> None:
    plan = load_plan(Path(__file__).resolve().parents[2] / "examples" / "shell" / "plan.yaml")
    assert [category.name for category in plan.definition.categories] == ["general-information", "recordings"]
    assert plan.rules_digest == plan.definition.rules_digest()
