"""What the tenant has bought, and what of SharePoint it may use for that: GET /subscribedSkus."""

from simulator.tenant import Tenant
from simulator.web import Answer, Json, Request, Route

_E3 = "05e9a617-0261-4cee-bb44-138d3ef5d965"
_PLANS = (
    ("SHAREPOINTENTERPRISE", "5dbe027f-2339-4123-9542-606e4d348a72"),
    ("EXCHANGE_S_ENTERPRISE", "efb87545-963c-4e0d-99df-69c6916d9eb0"),
)

_STEPS = (1_000, 5_000, 15_000, 50_000)  # more licences than these: another 1,250 units a minute


def buy(tenant: Tenant, units: int) -> None:
    """So many licences from now on; SharePoint's limits follow at once."""
    tenant.room["licences"] = units
    step = 1 + sum(units > bound for bound in _STEPS)
    tenant.limits.sharepoint_ru_per_minute = 1_250 * step
    tenant.limits.sharepoint_ru_per_day = 1_200_000 * step


def subscribed_skus(tenant: Tenant, request: Request) -> Answer:
    """One subscription, Office 365 E3 with `tenant.room["licences"]` units, else 25."""
    units = int(tenant.room.get("licences", 25))
    plans = [
        {
            "servicePlanId": plan, "servicePlanName": name,
            "provisioningStatus": "Success", "appliesTo": "User",
        }
        for name, plan in _PLANS
    ]  # fmt: skip
    sku: Json = {
        "id": f"{tenant.id}_{_E3}", "skuId": _E3, "skuPartNumber": "ENTERPRISEPACK",
        "accountId": tenant.id, "accountName": tenant.name, "appliesTo": "User",
        "capabilityStatus": "Enabled", "consumedUnits": min(units, len(tenant.users)),
        "prepaidUnits": {"enabled": units, "suspended": 0, "warning": 0, "lockedOut": 0},
        "servicePlans": plans, "subscriptionIds": [],
    }  # fmt: skip
    context = f"{request.url_base}/$metadata#subscribedSkus"
    return Answer(200, {"@odata.context": context, "value": [sku]})


ROUTES = (
    Route(
        "GET",
        "/subscribedSkus",
        subscribed_skus,
        ("LicenseAssignment.Read.All", "Organization.Read.All", "Directory.Read.All"),
        "identity",
    ),
)
