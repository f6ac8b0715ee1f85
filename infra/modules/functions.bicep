// The app: Flex Consumption, Python 3.13, and every setting it runs with (docs/operations.md explains each).
param location string
param tags object
param token string
param instancesMax int
param consoleClientId string
param runIdentityId string
param runClientId string
param webIdentityId string
param webClientId string
param insightsConnection string
param platformAccount string
param platformBlobUrl string
param platformQueueUrl string
param platformTableUrl string
param packageUrl string
param vaultBlobUrl string
param stateTableUrl string
param wrapKeyUrl string

var signIn = !empty(consoleClientId)
// Documented name: with it the sign-in page proves itself by identity, so that there is no client secret.
var signInProof = 'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID'

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: 'func-${token}'
  location: location
  kind: 'functionapp,linux'
  tags: union(tags, { 'azd-service-name': 'api' })
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${runIdentityId}': {}, '${webIdentityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    clientAffinityEnabled: false
    publicNetworkAccess: 'Enabled'
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageUrl
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: runIdentityId }
        }
      }
      scaleAndConcurrency: { instanceMemoryMB: 2048, maximumInstanceCount: instancesMax }
      runtime: { name: 'python', version: '3.13' }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
    }
  }

  // Before the app settings, which restart the app: it refuses to start without authentication.
  resource authentication 'config' = {
    name: 'authsettingsV2'
    properties: {
      platform: { enabled: true, runtimeVersion: '~1' }
      globalValidation: {
        requireAuthentication: true
        unauthenticatedClientAction: signIn ? 'RedirectToLoginPage' : 'Return401'
      }
      httpSettings: { requireHttps: true }
      identityProviders: signIn
        ? {
            azureActiveDirectory: {
              enabled: true
              registration: {
                clientId: consoleClientId
                openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
                clientSecretSettingName: signInProof
              }
              validation: { allowedAudiences: [consoleClientId, 'api://${consoleClientId}'] }
            }
          }
        : {}
      login: { tokenStore: { enabled: false } }
    }
  }

  resource settings 'config' = {
    name: 'appsettings'
    properties: union(
      {
        // Where Functions keeps its locks and Durable its history.
        AzureWebJobsStorage__credential: 'managedidentity'
        AzureWebJobsStorage__clientId: runClientId
        AzureWebJobsStorage__blobServiceUri: platformBlobUrl
        AzureWebJobsStorage__queueServiceUri: platformQueueUrl
        AzureWebJobsStorage__tableServiceUri: platformTableUrl
        DurableStorage__accountName: platformAccount
        DurableStorage__credential: 'managedidentity'
        DurableStorage__clientId: runClientId
        DurableStorage__blobServiceUri: platformBlobUrl
        DurableStorage__queueServiceUri: platformQueueUrl
        DurableStorage__tableServiceUri: platformTableUrl
        DURABLE_HUB: 'holdfast'
        // How the worker runs.
        AzureWebJobsDisableHomepage: 'true'
        AZURE_FUNCTIONS_DURABLE_STRICT_TYPING: '1'
        FUNCTIONS_WORKER_PROCESS_COUNT: '2'
        PYTHON_THREADPOOL_THREAD_COUNT: '8'
        APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnection
        APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${runClientId};Authorization=AAD'
        // What base/settings.py reads.
        HOLDFAST_STORAGE: 'azure'
        HOLDFAST_VAULT_ACCOUNT_URL: vaultBlobUrl
        HOLDFAST_STATE_ACCOUNT_URL: stateTableUrl
        HOLDFAST_KEY_VAULT_KEY: wrapKeyUrl
        HOLDFAST_IDENTITY_CLIENT_ID: runClientId
      },
      signIn ? { '${signInProof}': webClientId } : {}
    )
    dependsOn: [authentication]
  }

  resource basicAuth 'basicPublishingCredentialsPolicies' = [
    for way in ['scm', 'ftp']: {
      name: way
      properties: { allow: false }
    }
  ]
}

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
