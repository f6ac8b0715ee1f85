// Who the app is: one identity that works, one that only proves the sign-in page to Entra.
param location string
param tags object
param token string

resource run 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-run-${token}'
  location: location
  tags: tags
}

// Entra advises against sharing an identity that serves as a federated credential.
resource web 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-web-${token}'
  location: location
  tags: tags
}

output runId string = run.id
output runClientId string = run.properties.clientId
output runPrincipalId string = run.properties.principalId
output webId string = web.id
output webClientId string = web.properties.clientId
output webPrincipalId string = web.properties.principalId
