"""A customer's application as they are written: boto3 with nothing but its environment. Run in an environment of its own.

Prints one JSON object: what each call did, ``ok`` or the error's code.
"""

import json
import os
from collections.abc import Callable
from typing import Any

import boto3
from botocore.exceptions import ClientError


def main() -> None:
    bucket = os.environ["BUCKET_NAME"]
    client = boto3.client("s3")
    told: dict[str, Any] = {}
    put = attempt(told, "put", lambda: client.put_object(Bucket=bucket, Key="recordings/1.wav", Body=b"hello" * 1000))
    version = put["VersionId"] if put else "null"
    got = attempt(told, "get", lambda: client.get_object(Bucket=bucket, Key="recordings/1.wav", VersionId=version))
    told["same bytes"] = bool(got) and got["Body"].read() == b"hello" * 1000
    attempt(told, "list", lambda: client.list_objects_v2(Bucket=bucket))
    attempt(told, "multipart", lambda: multipart(client, bucket))
    attempt(told, "delete", lambda: client.delete_object(Bucket=bucket, Key="recordings/1.wav"))
    named = {"Bucket": bucket, "Key": "recordings/1.wav", "VersionId": version}
    attempt(told, "delete version", lambda: client.delete_object(**named))
    batch = {"Objects": [{"Key": "recordings/1.wav", "VersionId": version}]}
    answer = attempt(told, "delete batch", lambda: client.delete_objects(Bucket=bucket, Delete=batch))
    if answer:
        told["delete batch"] = answer["Errors"][0]["Code"] if answer.get("Errors") else "ok"
    told["encrypted"] = client.head_object(Bucket=bucket, Key="recordings/1.wav").get("ServerSideEncryption")
    told["version"] = version
    print(json.dumps(told))


def multipart(client: Any, bucket: str) -> Any:
    """An upload in two parts, as large recordings are written."""
    named = {"Bucket": bucket, "Key": "recordings/large.wav"}
    upload = client.create_multipart_upload(**named)["UploadId"]
    parts = []
    for number, body in ((1, b"a" * 5 * 1024 * 1024), (2, b"b")):
        part = client.upload_part(**named, UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    return client.complete_multipart_upload(**named, UploadId=upload, MultipartUpload={"Parts": parts})


def attempt(told: dict[str, Any], name: str, call: Callable[[], Any]) -> Any:
    """Runs one call and notes how it went; its answer, None if it was refused."""
    try:
        answer = call()
    except ClientError as error:
        told[name] = error.response["Error"]["Code"]
        return None
    told[name] = "ok"
    return answer


if __name__ == "__main__":
    main()
