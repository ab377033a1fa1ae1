"""Reads what a deployment of the function app depends on in a subscription: resource providers, regions, policies.

Operations: Microsoft, REST references of Providers (List), Web (List Geo Regions) and Policy Restrictions (Check At Resource
Group Scope), whose answers nobody recorded for this use (UNVERIFIED).
"""

from collections.abc import Mapping
from typing import Any

from provisioning.azure.transport.errors import translated
from provisioning.azure.transport.rest import Rest
from provisioning.resource_ids import name_of


class Deployments:
    """A subscription to deploy to. Methods raise the errors of `provisioning.azure.transport.errors`."""

    def __init__(self, arm: Rest, subscription_id: str) -> None:
        self._arm = arm
        self._subscription = f"/subscriptions/{subscription_id}"

    def group_id(self, name: str) -> str:
        """The id of a resource group of this subscription."""
        return f"{self._subscription}/resourceGroups/{name}"

    def registered_providers(self) -> frozenset[str]:
        """The namespaces that are registered, in lower case."""
        with translated("Listing the resource providers"):
            listed = list(self._arm.pages(f"{self._subscription}/providers?api-version=2021-04-01"))
        return frozenset(
            str(each["namespace"]).lower()
            for each in listed
            if str(each.get("registrationState")).lower() == "registered"
        )

    def flex_regions(self) -> tuple[str, ...]:
        """The regions with Flex Consumption, by their display names."""
        path = "providers/Microsoft.Web/geoRegions?sku=FlexConsumption&api-version=2024-11-01"
        with translated("Listing the regions with Flex Consumption"):
            return tuple(str(each["name"]) for each in self._arm.pages(f"{self._subscription}/{path}"))

    def denied_by(self, group: str, content: Mapping[str, Any], api_version: str) -> tuple[str, ...]:
        """The names of the policy assignments that would refuse a resource with this content in the group."""
        path = (
            f"{self.group_id(group)}/providers/Microsoft.PolicyInsights/checkPolicyRestrictions?api-version=2024-10-01"
        )
        with translated(f"Asking which policies apply to {content['type']}"):
            body = {"resourceDetails": {"resourceContent": content, "apiVersion": api_version}}
            answer = self._arm.post(path, body)
        found = (answer.get("contentEvaluationResult") or {}).get("policyEvaluations") or ()
        return tuple(
            name_of(str(each["policyInfo"]["policyAssignmentId"]))
            for each in found
            if str(each.get("evaluationResult")).lower() == "noncompliant"
            and str((each.get("effectDetails") or {}).get("policyEffect", "Deny")).lower() == "deny"
        )
