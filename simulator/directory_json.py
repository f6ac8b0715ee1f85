"""Users and groups as JSON, and what $select makes of them."""

from simulator.tenant import Group, User
from simulator.web import GraphError, Json, Request

USER_DEFAULT = (
    "businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone",
    "officeLocation", "preferredLanguage", "surname", "userPrincipalName", "id",
)  # fmt: skip
USER_KNOWN = (
    *USER_DEFAULT, "accountEnabled", "ageGroup", "assignedLicenses", "assignedPlans", "city",
    "companyName", "consentProvidedForMinor", "country", "createdDateTime", "creationType",
    "deletedDateTime", "department", "employeeHireDate", "employeeId", "employeeType",
    "externalUserState", "faxNumber", "identities", "imAddresses", "isResourceAccount",
    "lastPasswordChangeDateTime", "licenseAssignmentStates", "mailNickname", "manager",
    "onPremisesDistinguishedName", "onPremisesDomainName", "onPremisesImmutableId",
    "onPremisesLastSyncDateTime", "onPremisesSamAccountName", "onPremisesSecurityIdentifier",
    "onPremisesSyncEnabled", "onPremisesUserPrincipalName", "otherMails", "passwordPolicies",
    "postalCode", "preferredDataLocation", "provisionedPlans", "proxyAddresses",
    "securityIdentifier", "showInAddressList", "signInSessionsValidFromDateTime", "state",
    "streetAddress", "usageLocation", "userType",
)  # fmt: skip
# Kept outside Entra: 501 in a list, and never in a delta.
_ELSEWHERE = ("aboutMe", "birthday", "interests", "mySite", "pastProjects", "preferredName",
              "responsibilities", "schools", "skills", "mailboxSettings", "hireDate")  # fmt: skip
GROUP_DEFAULT = (
    "id", "deletedDateTime", "createdDateTime", "description", "displayName", "groupTypes",
    "mail", "mailEnabled", "mailNickname", "resourceProvisioningOptions", "securityEnabled",
    "visibility",
)  # fmt: skip


def user_json(user: User, select: tuple[str, ...] | None) -> Json:
    """A user; the default set without $select."""
    names = select if select is not None else USER_DEFAULT
    found = {name: user.properties.get(name) for name in names if name != "id"}
    return found | {"id": user.id}


def group_json(group: Group, select: tuple[str, ...] | None) -> Json:
    """A group."""
    names = select if select is not None else GROUP_DEFAULT
    found = {name: group.properties.get(name) for name in names if name not in ("id", "members")}
    return {"id": group.id} | found


def user_select(request: Request) -> tuple[str, ...] | None:
    """$select for users; 400 for unknown names, 501 for what lies outside Entra."""
    text = request.query.get("$select")
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    by_lower = {name.lower(): name for name in USER_KNOWN}
    found = []
    for name in names:
        if name.lower() in {other.lower() for other in _ELSEWHERE}:
            raise GraphError(501, "NotImplemented", "This operation target is not yet supported.")
        known = by_lower.get(name.lower())
        if known is None:
            raise _unknown(name, "user")
        found.append(known)
    return tuple(found)


def selected(
    request: Request, rows: list[Json], default: tuple[str, ...], kind: str
) -> tuple[str, ...] | None:
    """$select for groups: names of the rows."""
    text = request.query.get("$select")
    if text is None:
        return None
    known = {name for row in rows for name in row} | set(default) | {"members", "id", "isArchived"}
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in known:
            raise _unknown(name, kind)
    return names


def _unknown(name: str, kind: str) -> GraphError:
    return GraphError(
        400,
        "BadRequest",
        f"Could not find a property named '{name}' on type 'microsoft.graph.{kind}'.",
    )
