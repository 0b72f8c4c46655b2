{{/* Values that cannot work together, each with one sentence. */}}
{{- define "acr-attach.checks" -}}
{{- $values := .Values }}
{{- $azure := .Values.azure }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "serviceMonitor.enabled and podMonitor.enabled are both true: keep one, or Prometheus counts everything twice" }}
{{- end }}
{{- if and (gt (int .Values.replicaCount) 1) (not .Values.leaderElection.enabled) }}
{{- fail "replicaCount is greater than 1 and leaderElection.enabled is false: enable it, or all pods work at once" }}
{{- end }}
{{- if and (not .Values.leaderElection.enabled) .Values.strategy }}
{{- fail "strategy is set and leaderElection.enabled is false: leave strategy out, since the new pod must not start before the old one has ended" }}
{{- end }}
{{- $budget := .Values.podDisruptionBudget }}
{{- if and $budget.enabled (gt (int .Values.replicaCount) 1) (ge (int $budget.minAvailable) (int .Values.replicaCount)) }}
{{- fail "podDisruptionBudget.minAvailable is not less than replicaCount: set it lower, or no node can be drained" }}
{{- end }}
{{- if has $azure.auth (list "workloadIdentity" "clientSecret") }}
{{- range $key := list "clientId" "tenantId" }}
{{- if not (index $azure $key) }}
{{- fail (printf "azure.auth is %s and azure.%s is empty: set it" $azure.auth $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq $azure.auth "clientSecret") (not $azure.clientSecret.name) }}
{{- fail "azure.auth is clientSecret and azure.clientSecret.name is empty: set it to a Secret in the operator's namespace" }}
{{- end }}
{{- if and (ne $azure.auth "clientSecret") $azure.clientSecret.name }}
{{- fail (printf "azure.clientSecret.name is set and azure.auth is %s: set azure.auth to clientSecret, or leave the name out" $azure.auth) }}
{{- end }}
{{- if and (eq $azure.auth "none") $azure.clientId }}
{{- fail "azure.clientId is set and azure.auth is none: set azure.auth, so that it is clear how the operator signs in" }}
{{- end }}
{{- if and .Values.caBundle.configMap .Values.caBundle.secret }}
{{- fail "caBundle.configMap and caBundle.secret are both set: keep one" }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: set it to a service account of the operator's own" }}
{{- end }}
{{- range $key := list "names" "serviceAccounts" }}
{{- $names := index $values.pullSecrets $key }}
{{- if and (has "*" $names) (gt (len $names) 1) }}
{{- fail (printf "pullSecrets.%s holds * and other names: * stands alone" $key) }}
{{- end }}
{{- end }}
{{- end }}
