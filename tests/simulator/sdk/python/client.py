"""Reads tasks with the official Python SDK and prints them as one JSON document.

The environment says whom to ask and with what: ENDPOINT (a URL), CA_FILE (for https),
VOLCENGINE_ACCESS_KEY, VOLCENGINE_SECRET_KEY, VOLCENGINE_SESSION_TOKEN, VOLCENGINE_REGION.
With VOLCENGINE_OIDC_ROLE_TRN and VOLCENGINE_OIDC_TOKEN_FILE it takes that role in place of the keys.
The arguments are task ids. All pages of the default size are followed.
"""

import ast
import json
import os
import sys
from urllib.parse import urlsplit

import volcenginesdkcore
from volcenginesdkcore.auth.providers.sts_oidc_provider import StsOidcCredentialProvider
from volcenginesdkcore.rest import ApiException
from volcenginesdkecs import DescribeTasksRequest, ECSApi


def main():
    task_ids = sys.argv[1:]
    try:
        pages = list(describe(ECSApi(api_client()), task_ids))
    except ApiException as refusal:
        print(json.dumps({"status": refusal.status, "code": code(refusal)}))
        return
    tasks = [as_sent(task) for page in pages for task in page.tasks]
    print(json.dumps({"pages": len(pages), "tasks": tasks}))


def code(refusal):
    if refusal.body is None:
        # The SDK's way to tell of an error inside a 200: a printed dict, no body.
        return ast.literal_eval(refusal.reason)["Code"]
    return json.loads(refusal.body)["ResponseMetadata"]["Error"]["Code"]


def api_client():
    endpoint = urlsplit(os.environ["ENDPOINT"])
    configuration = volcenginesdkcore.Configuration()
    if "VOLCENGINE_OIDC_ROLE_TRN" in os.environ:
        configuration.credential_provider = StsOidcCredentialProvider(scheme=endpoint.scheme, host=endpoint.netloc)
    configuration.ak = os.environ["VOLCENGINE_ACCESS_KEY"]
    configuration.sk = os.environ["VOLCENGINE_SECRET_KEY"]
    configuration.session_token = os.environ.get("VOLCENGINE_SESSION_TOKEN", "")
    configuration.region = os.environ["VOLCENGINE_REGION"]
    configuration.scheme = endpoint.scheme
    configuration.host = endpoint.netloc
    configuration.ssl_ca_cert = os.environ.get("CA_FILE")
    return volcenginesdkcore.ApiClient(configuration)


def describe(api, task_ids):
    next_token = None
    while next_token != "":
        page = api.describe_tasks(DescribeTasksRequest(task_ids=task_ids, next_token=next_token))
        yield page
        next_token = page.next_token


def as_sent(task):
    return {wire: getattr(task, name) for name, wire in task.attribute_map.items()}


main()
