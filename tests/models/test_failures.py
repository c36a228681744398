"""Errors of servers and gateways as they are reported in public: what kind of failure each is."""

from __future__ import annotations

import json

import pytest

from mmdbench.models.failures import RULES, error_of

USAGE = "Content violates usage guidelines. Team: t-1, API key ID: k-1, Failed check: SAFETY_CHECK_TYPE_BIO"
AZURE = {
    "code": "content_filter",
    "message": "The response was filtered due to the prompt triggering the content management policy.",
    "innererror": {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {"hate": {"filtered": False}, "violence": {"filtered": True}},
    },
}
RAW = json.dumps({"error": {"message": "Your prompt is not allowed.", "code": "content_policy_violation"}})
REFUSALS = {
    "Azure": (400, {"error": AZURE}),
    "Azure, inner code alone": (400, {"error": {"innererror": AZURE["innererror"], "message": "No."}}),
    "LiteLLM before Azure": (400, {"error": {"message": "No.", "code": "400", "provider_specific_fields": {
        "innererror": {"code": "ResponsibleAIPolicyViolation"}}}}),
    "LiteLLM, words": (400, {"error": {"message": "litellm.ContentPolicyViolationError: filtered"}}),
    "OpenRouter, flagged": (403, {"error": {"message": "x", "metadata": {"flagged_input": "…"}}}),
    "OpenRouter, raw": (400, {"error": {"message": "Provider returned error", "metadata": {"raw": RAW}}}),
    "OpenRouter, type": (403, {"error": {"message": "x", "metadata": {"error_type": "refusal"}}}),
    "OpenAI": (400, {"error": {"message": "Your prompt was flagged.", "code": "invalid_prompt"}}),
    "OpenAI, images": (400, {"error": {"message": "x", "code": "moderation_blocked"}}),
    "Anthropic": (400, {"type": "error", "error": {"type": "invalid_request_error",
        "message": "Output blocked by content filtering policy"}}),
    "DashScope": (400, {"error": {"message": "x", "code": "data_inspection_failed"}}),
    "DashScope, own form": (400, {"code": "DataInspectionFailed", "message": "x", "request_id": "r"}),
    "Zhipu": (400, {"contentFilter": [{"level": 1}], "error": {"code": "1301", "message": "x"}}),
    "Moonshot": (400, {"error": {"type": "content_filter", "message": "considered high risk"}}),
    "Volcengine": (400, {"error": {"code": "InputImageRiskDetection", "message": "x", "type": "BadRequest"}}),
    "DeepSeek": (400, {"error": {"message": "Content Exists Risk", "code": "invalid_request_error"}}),
    "xAI": (403, {"code": "The caller does not have permission to execute the operation", "error": USAGE}),
    "Gemini, a list": (400, [{"error": {"code": 400, "message": "x", "status": "PROHIBITED_CONTENT"}}]),
    "a page in words": (403, "<html>The image was flagged by our filter</html>"),
    "under 500": (500, {"error": {"message": "The output was blocked by the content filter"}}),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSALS)
def test_a_content_filter_is_a_refusal_in_every_form(form):
    status, body = REFUSALS[form]
    assert error_of(status, body, {}).kind == "content_filter"


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind"),
    [
        (403, {"error": {"message": "Rate limit exceeded, slow down"}}, {}, "rate_limited"),
        (403, {"error": {"errors": [{"reason": "userRateLimitExceeded"}]}}, {}, "rate_limited"),
        (403, {"error": {"message": "no"}}, {"Retry-After": "3"}, "rate_limited"),
        (403, {"message": "Daily request limit reached"}, {}, "rate_limited"),
        (400, {"message": "Too long: the token limit was exceeded"}, {}, "bad_request"),
        (498, {"error": {"message": "Flex tier capacity exceeded"}}, {}, "overloaded"),
        (499, {"error": {"code": 499, "status": "CANCELLED"}}, {}, "interrupted"),
        (400, {"__type": "ThrottlingException", "code": "ThrottlingException"}, {}, "rate_limited"),
        (429, {"error": {"message": "You exceeded your current quota, check your plan"}}, {}, "rate_limited"),
        (429, {"error": {"message": "Provider returned error", "metadata": {
            "raw": '{"error": {"code": "insufficient_quota"}}'}}}, {}, "rate_limited"),
        (429, {"error": {"message": "no money", "code": "insufficient_quota"}}, {}, "quota"),
        (429, {"error": {"message": "x", "type": "exceeded_current_quota_error"}}, {}, "quota"),
        (429, {"error": {"message": "Your account is in arrears", "code": "x"}}, {}, "quota"),
        (403, {"error": {"message": "overdue balance", "code": "AccountOverdueError"}}, {}, "quota"),
        (400, {"error": {"message": "x", "code": "Arrearage"}}, {}, "quota"),
        (400, {"error": {"message": "Your credit balance is too low"}}, {}, "quota"),
        (402, {"error": {"message": "Insufficient Balance"}}, {}, "quota"),
        (402, {"error": {"message": "in-flight budget"}}, {"Retry-After": "2"}, "rate_limited"),
        (403, {"error": {"message": "Forbidden"}}, {}, "forbidden"),
        (403, {"error": {"message": "bad key", "code": "invalid_api_key"}}, {}, "forbidden"),
        (403, "<html><title>403 Forbidden</title>Your request was blocked.</html>", {}, "forbidden"),
        (403, {"error": {"message": "This account is banned: usage policy"}}, {}, "forbidden"),
        (401, {"error": {"message": "bad key: content filter"}}, {}, "unauthorised"),
        (503, {"error": {"message": "The content filter is overloaded"}}, {}, "overloaded"),
        (500, {"error": {"message": "content filter temporarily unavailable"}}, {}, "server_error"),
        (400, {"error": {"message": "x", "metadata": {"error_type": "invalid_prompt"}}}, {}, "bad_request"),
        (400, {"error": AZURE | {"code": "x", "message": "y", "innererror": {
            "content_filter_result": {"hate": {"filtered": False}}}}}, {}, "bad_request"),
        (422, {"detail": [{"msg": "Field required", "input": {"text": "is it flagged by a guardrail?"}}]}, {},
            "bad_request"),
        (400, {"error": {"message": "guardrail: budget limit reached"}}, {}, "bad_request"),
        (400, None, {}, "bad_request"),
    ],
)  # fmt: skip
def test_limits_credit_and_keys_are_told_apart_from_refusals(status, body, headers, kind):
    assert error_of(status, body, headers).kind == kind


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"error": {"message": "x", "details": [{"@type": "t", "retryDelay": "40s"}]}}, 40),
        ({"error": {"message": "x", "metadata": {"retry_after_seconds": 17}}}, 17),
        ({"error": {"message": "x"}}, None),
    ],
)
def test_the_pause_in_a_body_is_read_where_no_header_asks(body, seconds):
    assert error_of(429, body, {}).retry_after == seconds
    assert error_of(429, body, {"Retry-After": "3"}).retry_after == 3
    assert error_of(500, body, {}).retry_after is None


def test_a_gateways_reason_holds_its_providers_words_and_no_key():
    body = {"error": {"message": "Provider returned error", "metadata": {"raw": "too large for sk-secret-1"}}}
    shown = error_of(400, body, {}, "sk-secret-1").reason
    assert shown == "HTTP 400: Provider returned error: too large for [hidden]"


def test_a_body_that_is_deep_wide_or_odd_ends_in_a_failure():
    deep = {"error": "x"}
    for _ in range(3000):
        deep = {"error": deep}
    for body in (deep, [[[]]], {"a": list(range(10**5))}, "[" * 10**5, 3, {"error": {"message": 7}}):
        assert error_of(400, body, {}).kind in RULES
