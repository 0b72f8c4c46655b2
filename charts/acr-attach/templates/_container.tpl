{{/* What the operator's container has of the chart. _checks.tpl refuses extras that repeat it. */}}

{{- define "acr-attach.args" -}}
- run
- --cloud={{ .Values.azure.cloud }}
{{- with .Values.azure.subscriptionId }}
- --subscription-id={{ . }}
{{- end }}
- --pull-secrets={{ .Values.pullSecrets.enabled }}
{{- if .Values.pullSecrets.enabled }}
- --pull-secret-names={{ join "," .Values.pullSecrets.names }}
- --service-account-names={{ join "," .Values.pullSecrets.serviceAccounts }}
{{- end }}
{{- with .Values.policy.allowedRegistries }}
- --allowed-registries={{ join "," . }}
{{- end }}
{{- with .Values.policy.loginServerSuffixes }}
- --login-server-suffixes={{ join "," . }}
{{- end }}
{{- with .Values.attachmentSelector }}
- {{ printf "--attachment-selector=%s" . | quote }}
{{- end }}
- --concurrency={{ .Values.controller.concurrency }}
- --resync={{ .Values.controller.resync }}
- --removal-delay={{ .Values.controller.removalDelay }}
- --patience={{ .Values.controller.patience }}
- --leader-election={{ .Values.leaderElection.enabled }}
{{- if .Values.leaderElection.enabled }}
- --lease-name={{ include "acr-attach.leaseName" . }}
- --lease-duration={{ .Values.leaderElection.leaseDuration }}
- --renew-deadline={{ .Values.leaderElection.renewDeadline }}
- --retry-period={{ .Values.leaderElection.retryPeriod }}
{{- end }}
{{- if include "acr-attach.certificates" . }}
- --ca-file=/etc/acr-attach/certificates/{{ .Values.caBundle.key }}
{{- end }}
- {{ printf "--listen=%s:%d" .Values.metrics.host (int .Values.metrics.port) | quote }}
- --metrics-per-object={{ .Values.metrics.perObject }}
- --log-level={{ .Values.log.level }}
- --log-format={{ .Values.log.format }}
{{- end }}

{{- define "acr-attach.env" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- if eq .Values.azure.auth "workloadIdentity" }}
- name: AZURE_TOKEN_CREDENTIALS
  value: WorkloadIdentityCredential
{{- else if eq .Values.azure.auth "managedIdentity" }}
- name: AZURE_TOKEN_CREDENTIALS
  value: ManagedIdentityCredential
{{- else if eq .Values.azure.auth "clientSecret" }}
- name: AZURE_TOKEN_CREDENTIALS
  value: EnvironmentCredential
{{- end }}
{{- with .Values.azure.clientId }}
- name: AZURE_CLIENT_ID
  value: {{ . | quote }}
{{- end }}
{{- with .Values.azure.tenantId }}
- name: AZURE_TENANT_ID
  value: {{ . | quote }}
{{- end }}
{{- if eq .Values.azure.auth "clientSecret" }}
- name: AZURE_CLIENT_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ .Values.azure.clientSecret.name }}
      key: {{ .Values.azure.clientSecret.key }}
{{- end }}
{{- if include "acr-attach.federatedToken" . }}
- name: AZURE_FEDERATED_TOKEN_FILE
  value: /var/run/secrets/azure/tokens/azure-identity-token
{{- end }}
{{- end }}

{{- define "acr-attach.volumeMounts" -}}
{{ include "acr-attach.apiAccessMount" . }}
{{- if include "acr-attach.federatedToken" . }}
- name: azure-identity-token
  mountPath: /var/run/secrets/azure/tokens
  readOnly: true
{{- end }}
{{- if include "acr-attach.certificates" . }}
- name: certificates
  mountPath: /etc/acr-attach/certificates
  readOnly: true
{{- end }}
{{- end }}

{{- define "acr-attach.volumes" -}}
{{ include "acr-attach.apiAccess" . }}
{{- if include "acr-attach.federatedToken" . }}
- name: azure-identity-token
  projected:
    sources:
      - serviceAccountToken:
          path: azure-identity-token
          audience: {{ .Values.azure.tokenAudience }}
          expirationSeconds: 3600
{{- end }}
{{- if include "acr-attach.certificates" . }}
- name: certificates
  {{- if .Values.caBundle.configMap }}
  configMap:
    name: {{ .Values.caBundle.configMap }}
  {{- else }}
  secret:
    secretName: {{ .Values.caBundle.secret }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What a client in the cluster needs, for one container alone: a pod with automount would give it
to all. */}}
{{- define "acr-attach.apiAccess" -}}
- name: kube-api-access
  projected:
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                apiVersion: v1
                fieldPath: metadata.namespace
{{- end }}

{{- define "acr-attach.apiAccessMount" -}}
- name: kube-api-access
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end }}

{{/* Whether the pods get a token of the cluster that Entra takes. */}}
{{- define "acr-attach.federatedToken" -}}
{{- if or .Values.azure.federatedToken (eq .Values.azure.auth "workloadIdentity") }}true{{ end }}
{{- end }}

{{/* Whether there are certificates to trust beside the image's own. */}}
{{- define "acr-attach.certificates" -}}
{{- if or .Values.caBundle.configMap .Values.caBundle.secret }}true{{ end }}
{{- end }}
