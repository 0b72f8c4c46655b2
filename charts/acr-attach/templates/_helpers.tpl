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

{{/* `list $ LABELS...`: the chart's labels, then those for all objects, then the given maps; the last one that holds
a key wins, so no key stands twice. What the Deployment selects by is nobody's to change, see _checks.tpl. */}}
{{- define "acr-attach.labels" -}}
{{- $root := first . }}
{{- $chart := printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- $labels := dict "helm.sh/chart" $chart }}
{{- $_ := set $labels "app.kubernetes.io/name" (include "acr-attach.name" $root) }}
{{- $_ := set $labels "app.kubernetes.io/instance" $root.Release.Name }}
{{- $_ := set $labels "app.kubernetes.io/version" $root.Chart.AppVersion }}
{{- $_ := set $labels "app.kubernetes.io/part-of" "acr-attach" }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" $root.Release.Service }}
{{- range prepend (rest .) $root.Values.commonLabels }}
{{- range $key, $value := . }}
{{- $_ := set $labels $key $value }}
{{- end }}
{{- end }}
{{- toYaml $labels }}
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

{{- define "acr-attach.serviceMonitor" -}}
{{- if and .Values.serviceMonitor.enabled (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") }}true{{ end }}
{{- end }}

{{- define "acr-attach.anyName" -}}
{{- if has "*" . }}true{{ end }}
{{- end }}
