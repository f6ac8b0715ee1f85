// The key that wraps the organizations' keys. It never leaves Key Vault; whoever destroys it destroys the backups.
param location string
param tags object
param token string
param runPrincipalId string

// May read, wrap and unwrap with the key; may not sign, export, delete or see other keys.
var cryptoServiceEncryptionUser = 'e147488a-f6f5-4113-8e2d-b22465e65bf6'

resource keyVault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: 'kv-${token}'
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enablePurgeProtection: true
    publicNetworkAccess: 'Enabled'
  }

  resource wrapKey 'keys' = {
    name: 'wrap-organizations'
    properties: {
      kty: 'RSA'
      keySize: 3072
      keyOps: ['wrapKey', 'unwrapKey']
    }
  }
}

resource grant 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(keyVault::wrapKey.id, runPrincipalId, cryptoServiceEncryptionUser)
  scope: keyVault::wrapKey
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', cryptoServiceEncryptionUser)
    principalId: runPrincipalId
    principalType: 'ServicePrincipal'
  }
}

output wrapKeyUrl string = keyVault::wrapKey.properties.keyUri
