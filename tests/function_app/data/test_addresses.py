"""The entries of AZURE_OPENAI_ENDPOINTS: which account each names, or why it cannot be used."""

import re

import pytest

from function_app.data.addresses import Endpoint, Scope, parse_address

ID = "0aa0b0c0-1111-2222-3333-444455556666"
SERVICES, COGNITIVE = "https://a.services.ai.azure.com", "https://a.cognitiveservices.azure.com"


@pytest.mark.parametrize(
    ("text", "url", "name", "project"),
    [
        ("https://Aoai-ML.openai.azure.com", "https://aoai-ml.openai.azure.com/", "aoai-ml", None),
        ("https://a.openai.azure.com/openai/v1/", "https://a.openai.azure.com/", "a", None),
        ("https://a.openai.azure.com:443/", "https://a.openai.azure.com/", "a", None),
        (f"{SERVICES}/api/projects/_project", f"{SERVICES}/api/projects/_project/", "a", "_project"),  # the default one
        (COGNITIVE, f"{COGNITIVE}/", "a", None),
        (f"{SERVICES}/openai", f"{SERVICES}/", "a", None),
        (f"{SERVICES}/api/projects/p", f"{SERVICES}/api/projects/p/", "a", "p"),
        (f"{COGNITIVE}/api/projects/p/openai/v1", f"{COGNITIVE}/api/projects/p/", "a", "p"),
        ("https://eastus.api.cognitive.microsoft.com/", "https://eastus.api.cognitive.microsoft.com/", "eastus", None),
        ("https://apim.acme.example/ml/openai", "https://apim.acme.example/ml/", "apim-ml", None),
        ("https://apim.acme.example/", "https://apim.acme.example/", "apim", None),
    ],
)
def test_an_address_is_parsed_as_its_account(text: str, url: str, name: str, project: str | None) -> None:
    found = parse_address(text, {"apim.acme.example"})
    assert isinstance(found, Endpoint)
    assert (found.url, found.name, found.project) == (url, name, project)
    assert parse_address(found.url, {"apim.acme.example"}) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://a.openai.azure.com/openai/deployments/gpt-4o/chat/completions", "is https://a.openai.azure.com/"),
        ("https://a.openai.azure.com/api/projects/p", "https://a.services.ai.azure.com/api/projects/p"),
        ("https://a.services.ai.azure.com/api/projects/", "is https://a.services.ai.azure.com/"),
        ("https://ai.azure.com/resource/overview", "is not a host of Azure"),
        ("https://a.openai.azure.com.evil.example/", "is not a host of Azure"),
        ("https://apim.acme.example/a b/", "is not an address"),
        ("https://me:key@a.openai.azure.com/", "'https://a.openai.azure.com/' is not an address"),
        ("https://me:k/ey@a.openai.azure.com/", "'https://a.openai.azure.com/' is not an address"),
        ("https://me:k#e?y@a.openai.azure.com/", "'https://…' is not an address"),
        ("https://a.openai.azure.com/?api-key=secret", "'https://a.openai.azure.com/' is not an address"),
        ("https://a.openai.azure.com/x#secret", "'https://a.openai.azure.com/x' is not an address"),
        ("https://apim.acme.example/../x/", "is not an address"),
        ("https://a..openai.azure.com/", "is not an address"),
        ("https://.openai.azure.com/", "is not an address"),
        ("subscription:ml", "is not subscription:<subscription id>"),
        (f"subscription:{ID}/rg/more", "is not subscription:<subscription id>"),
    ],
)
def test_an_address_of_something_else_is_refused_and_the_right_one_is_suggested(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_address(text, {"apim.acme.example"})


def test_all_addresses_of_an_account_are_the_same_account() -> None:
    hosts = ("openai", "cognitiveservices", "services.ai")
    found = [parse_address(f"https://a.{host}.azure.com/") for host in hosts]
    assert {each.account for each in found if isinstance(each, Endpoint)} == {"a.com"}


@pytest.mark.parametrize(
    ("text", "scopes"),
    [
        ("https://a.openai.azure.us/", ("https://cognitiveservices.azure.us/.default",)),
        (
            f"{SERVICES}/api/projects/p",
            ("https://ai.azure.com/.default", "https://cognitiveservices.azure.com/.default"),
        ),
    ],
)
def test_the_tokens_audience_follows_from_the_address(text: str, scopes: tuple[str, ...]) -> None:
    found = parse_address(text)
    assert isinstance(found, Endpoint)
    assert found.scopes == scopes


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (f"subscription:{ID}", f"/subscriptions/{ID}"),
        (f"Subscription:{ID.upper()}/rg-ml", f"/subscriptions/{ID}/resourceGroups/rg-ml"),
    ],
)
def test_a_subscription_may_be_searched_or_one_group_of_it(text: str, path: str) -> None:
    found = parse_address(text)
    assert isinstance(found, Scope)
    assert found.path == path
    assert parse_address(found.text) == found
