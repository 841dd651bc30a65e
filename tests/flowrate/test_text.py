"""Text as it is shown: a line that can be printed, in which no secret is left."""

from __future__ import annotations

import os
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrate.text import masked, masked_values, one_line, printable

NAMES = {
    "as it is": (b"photos/a b [red].jpg", "photos/a b [red].jpg"),
    "other scripts": ("ромашка.png".encode(), "ромашка.png"),
    "a line break": (b"a\nb.png", "a\\nb.png"),
    "an escape sequence": (b"\x1b[31m.png", "\\x1b[31m.png"),
    "no UTF-8": (b"\xff.png", "\\xff.png"),
}
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
PLACES = st.one_of(
    st.sampled_from(["https", "grpc", "s3", "postgres+ssl"]).map("{}://ann:SECRET@host/".format),
    st.sampled_from(["https", "grpc", "s3", "postgres+ssl"]).map("{}://SECRET@host/".format),
    st.sampled_from(["token", "sig", "X-Amz-Credential", "api_key", "auth"]).map(
        "https://host/x?page=3&{}=SECRET&more=1".format
    ),
    st.sampled_from(["API_TOKEN", "DB_PASSWORD", "--secret", "--access_key"]).map(
        " {}=SECRET ".format
    ),
)


@pytest.mark.parametrize(("name", "shown"), NAMES.values(), ids=NAMES.keys())
def test_a_name_as_it_is_shown(name, shown):
    assert printable(os.fsdecode(name)) == shown


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name), st.text())
def test_any_name_and_any_message_is_one_line_that_can_be_printed(name, text):
    for shown in (printable(os.fsdecode(name)), one_line(text)):
        assert shown.isprintable()
        shown.encode()


@pytest.mark.parametrize(("text", "shown"), CASES.items())
def test_secrets_are_masked(text, shown):
    assert masked(text) == shown
    assert masked(shown) == shown
    assert printable(text) == one_line(text) == shown


@pytest.mark.parametrize("text", PLAIN)
def test_what_holds_no_secret_stays(text):
    assert masked(text) == text


@given(SECRETS, WORDS, PLACES, WORDS)
def test_no_secret_is_shown(secret, before, place, after):
    assert secret not in masked(before + place.replace("SECRET", secret) + after)


def test_records_are_masked_to_their_depths():
    given_record = {"a": ["https://u:p@h", 3, None], "b": {"c": ("x", "API_KEY=1")}}
    assert masked_values(given_record) == {
        "a": ["https://u:***@h", 3, None],
        "b": {"c": ["x", "API_KEY=***"]},
    }
