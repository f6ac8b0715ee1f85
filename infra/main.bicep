// The whole deployment on one screen: one resource group, one app, and what it may reach.
// Identities open everything; there is no key and no secret here (tests/test_infra.py).
targetScope = 'subscription'

@minLength(1)
@maxLength(40)
@description('Name of the azd environment; becomes part of the resource group\'s name.')
param environmentName string

@minLength(1)
@metadata({ azd: { type: 'location' } })
@description('Azure region of all resources.')
param location string

@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS', 'Standard_RAGRS', 'Standard_RAGZRS'])
@description('How the vault\'s account keeps copies. ZRS survives the loss of one zone.')
param vaultSku string = 'Standard_ZRS'

@description('Client id of the Entra app people sign in with. Empty: nobody gets in (docs/operations.md).')
param consoleClientId string = ''

@minValue(40)
@maxValue(1000)
@description('Most instances at once: a ceiling for the bill, not for correctness.')
param instancesMax int = 40

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity './modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: { location: location, tags: tags, token: token }
}

module monitoring './modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: { location: location, tags: tags, token: token, runPrincipalId: identity.outputs.runPrincipalId }
}

module platform './modules/platform.bicep' = {
  name: 'platform'
  scope: group
  params: { location: location, tags: tags, token: token, runPrincipalId: identity.outputs.runPrincipalId }
}

module vault './modules/vault.bicep' = {
  name: 'vault'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    sku: vaultSku
    runPrincipalId: identity.outputs.runPrincipalId
  }
}

module state './modules/state.bicep' = {
  name: 'state'
  scope: group
  params: { location: location, tags: tags, token: token, runPrincipalId: identity.outputs.runPrincipalId }
}

module keys './modules/keys.bicep' = {
  name: 'keys'
  scope: group
  params: { location: location, tags: tags, token: token, runPrincipalId: identity.outputs.runPrincipalId }
}

module functions './modules/functions.bicep' = {
  name: 'functions'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    instancesMax: instancesMax
    consoleClientId: consoleClientId
    runIdentityId: identity.outputs.runId
    runClientId: identity.outputs.runClientId
    webIdentityId: identity.outputs.webId
    webClientId: identity.outputs.webClientId
    insightsConnection: monitoring.outputs.connection
    platformAccount: platform.outputs.account
    platformBlobUrl: platform.outputs.blobUrl
    platformQueueUrl: platform.outputs.queueUrl
    platformTableUrl: platform.outputs.tableUrl
    packageUrl: platform.outputs.packageUrl
    vaultBlobUrl: vault.outputs.blobUrl
    stateTableUrl: state.outputs.tableUrl
    wrapKeyUrl: keys.outputs.wrapKeyUrl
  }
}

// azd keeps these as environment values; `azd env get-values` shows them.
output AZURE_LOCATION string = location
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_RESOURCE_GROUP string = group.name
output SERVICE_API_NAME string = functions.outputs.name
output HOLDFAST_URL string = functions.outputs.url
output HOLDFAST_VAULT_ACCOUNT_URL string = vault.outputs.blobUrl
output HOLDFAST_STATE_ACCOUNT_URL string = state.outputs.tableUrl
output HOLDFAST_KEY_VAULT_KEY string = keys.outputs.wrapKeyUrl
output SIGN_IN_IDENTITY_PRINCIPAL_ID string = identity.outputs.webPrincipalId
