"""Secrets do not survive masking, whatever stands around them."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrate.printable import one_line, printable
from flowrate.secrets import masked, masked_values

CASES = {
    "https://user:password@host/x": "https://user:***@host/x",
    "https://token@github.com/x": "https://***@github.com/x",
    "grpc://u:p@10.0.0.1:8470": "grpc://u:***@10.0.0.1:8470",
    "https://u:p@ss@host/x": "https://u:***@host/x",
    "cannot read 'https://u:p@host/'.": "cannot read 'https://u:***@host/'.",
    "https://host/x?token=abc&page=3": "https://host/x?token=***&page=3",
    "https://host/x?sv=2&sig=a%2Fb": "https://host/x?sv=2&sig=***",
    "s3://b/k?X-Amz-Signature=1f&X-Amz-Expires=9": "s3://b/k?X-Amz-Signature=***&X-Amz-Expires=9",
    "HF_TOKEN=abc AWS_SECRET_ACCESS_KEY=def": "HF_TOKEN=*** AWS_SECRET_ACCESS_KEY=***",
    "--password=hunter2 --seed=3": "--password=*** --seed=3",
}
PLAIN = (
    "https://host:8080/path@v1", "--keep_checkpoints=3", "photos/a@b.jpg", "--sweep=key=1,2",
    "ann@host:/runs", "--monkey=3", "https://host/?page=3",
)  # fmt: skip
# None of the words around it holds such a one.
SECRETS = st.text(string.ascii_letters + string.digits + "-._~!$*+,@").map("S3cret".__add__)
WORDS = st.text(string.ascii_lowercase + string.digits + "-._/ ", max_size=20)


@pytest.mark.parametrize(("text", "shown"), CASES.items())
def test_secrets_are_masked(text, shown):
    assert masked(text) == shown
    assert masked(shown) == shown
    assert printable(text) == one_line(text) == shown


@pytest.mark.parametrize("text", PLAIN)
def test_what_holds_no_secret_stays(text):
    assert masked(text) == text


@given(SECRETS, WORDS, WORDS, st.sampled_from(["https", "grpc", "s3", "postgres+ssl"]))
def test_no_password_of_an_address_is_shown(secret, before, after, scheme):
    for user in ("ann:", ""):
        assert secret not in masked(f"{before}{scheme}://{user}{secret}@host/{after}")


@given(SECRETS, WORDS, st.sampled_from(["token", "sig", "X-Amz-Credential", "api_key", "auth"]))
def test_no_secret_of_a_query_is_shown(secret, before, name):
    assert secret not in masked(f"{before}https://host/x?page=3&{name}={secret}&more=1")


@given(SECRETS, st.sampled_from(["API_TOKEN", "DB_PASSWORD", "--secret", "--access_key"]))
def test_no_secret_given_by_name_is_shown(secret, name):
    assert secret not in masked(f"env {name}={secret} python")


@given(st.text())
def test_a_message_is_one_line_that_a_terminal_does_not_obey(text):
    shown = one_line(text)
    assert shown.isprintable()
    shown.encode()


def test_records_are_masked_to_their_depths():
    given_record = {"a": ["https://u:p@h", 3, None], "b": {"c": ("x", "API_KEY=1")}}
    assert masked_values(given_record) == {
        "a": ["https://u:***@h", 3, None],
        "b": {"c": ["x", "API_KEY=***"]},
    }
