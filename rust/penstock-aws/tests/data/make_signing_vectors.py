"""Makes signing.json: requests as penstock sends them, signed by botocore at a fixed time.

Run it with the project's interpreter after a change of the envelope; the file is committed.
"""

# ruff: noqa: INP001 - a script beside its data, in no package

import datetime as dt
import json
import pathlib
from unittest import mock

from botocore import auth, awsrequest, credentials

KINESIS = {
    "content-type": "application/x-amz-json-1.1",
    "x-amz-target": "Kinesis_20131202.GetRecords",
}
CASES = [
    ("https://kinesis.eu-west-1.amazonaws.com/", "eu-west-1", None, 1545127450, '{"Limit":10000}'),
    ("http://127.0.0.1:4567/", "us-east-1", None, 1700000000, "{}"),
    ("https://kinesis.cn-north-1.amazonaws.com.cn/", "cn-north-1", "tok/en+==", 1733011199, "{}"),
    ("http://localhost:4566/base/path/", "us-east-1", None, 1700000000, '{"é":"ü"}'),
    ("https://kinesis.eu-west-1.amazonaws.com:443/", "eu-west-1", None, 1700000000, "{}"),
]


def signed(url: str, region: str, token: str | None, at: int, body: str) -> dict[str, object]:
    """Signs one request and gives it with the headers that the signature added."""
    keys = credentials.Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
    request = awsrequest.AWSRequest("POST", url, headers=dict(KINESIS), data=body.encode())
    moment = dt.datetime.fromtimestamp(at, tz=dt.UTC).replace(tzinfo=None)
    with mock.patch.object(auth, "get_current_datetime", return_value=moment):
        auth.SigV4Auth(keys, "kinesis", region).add_auth(request)
    return {
        "url": url,
        "region": region,
        "token": token,
        "at": at,
        "body": body,
        "date": request.headers["X-Amz-Date"],
        "authorization": request.headers["Authorization"],
    }


if __name__ == "__main__":
    path = pathlib.Path(__file__).with_name("signing.json")
    path.write_text(json.dumps([signed(*case) for case in CASES], indent=2) + "\n")
