{{- define "acr-attach.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 47 | trimSuffix "-" }}
{{- end }}

{{/* The name of all objects. The longest suffix is -uninstall-guard. */}}
{{- define "acr-attach.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $made := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $made .Values.fullnameOverride | trunc 47 | trimSuffix "-" }}
{{- end }}

{{- define "acr-attach.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "acr-attach.serviceAccountName" -}}
{{- default (include "acr-attach.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{/* The name under which the API server knows the operator. */}}
{{- define "acr-attach.user" -}}
system:serviceaccount:{{ include "acr-attach.namespace" . }}:{{ include "acr-attach.serviceAccountName" . }}
{{- end }}

{{- define "acr-attach.leaseName" -}}
{{- default (include "acr-attach.fullname" .) .Values.leaderElection.leaseName }}
{{- end }}

{{/* What does not change from version to version: a Deployment cannot change its selector. */}}
{{- define "acr-attach.selectorLabels" -}}
app.kubernetes.io/name: {{ include "acr-attach.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "acr-attach.labels" -}}
{{- with .Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "acr-attach.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: acr-attach
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "acr-attach.image" -}}
{{- if not .Values.image.repository }}
{{- fail "image.repository is empty: set it to the repository that holds the operator's image; there is no default" }}
{{- end }}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
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

{{- define "acr-attach.serviceMonitor" -}}
{{- if and .Values.serviceMonitor.enabled (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") }}true{{ end }}
{{- end }}

{{- define "acr-attach.anyName" -}}
{{- if has "*" . }}true{{ end }}
{{- end }}
