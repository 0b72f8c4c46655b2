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
{{- if not .Values.enabled }}
{{- fail "enabled is false and the chart is rendered: a parent chart leaves it out by `condition: acr-attach.enabled` of its dependency; alone, do not install it" }}
{{- end }}
{{- include "acr-attach.checks.labels" . }}
{{- include "acr-attach.checks.lists" . }}
{{- end }}

{{/* Labels that the Deployment, the disruption budget and others find the pods by. */}}
{{- define "acr-attach.checks.labels" -}}
{{- $root := . }}
{{- $selector := include "acr-attach.selectorLabels" . | fromYaml }}
{{- $given := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "uninstallGuard.podLabels" .Values.uninstallGuard.podLabels }}
{{- range $value, $labels := $given }}
{{- range $key, $own := $selector }}
{{- if and (hasKey $labels $key) (ne (get $labels $key) $own) }}
{{- fail (printf "%s holds %s, by which the Deployment finds its pods: leave it out" $value $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Lists whose entries have names: Helm takes one that stands twice, server-side apply does not, and the program no
flag. Each flag has a variable too, which it overrides. */}}
{{- define "acr-attach.checks.lists" -}}
{{- $flags := list }}
{{- $variables := include "acr-attach.env" . | fromYamlArray }}
{{- range include "acr-attach.args" . | fromYamlArray }}
{{- $flag := splitList "=" . | first }}
{{- $flags = append $flags (dict "name" $flag) }}
{{- $variable := $flag | trimPrefix "--" | replace "-" "_" | upper }}
{{- $variables = append $variables (dict "name" (printf "ACR_ATTACH_%s" $variable)) }}
{{- end }}
{{- $given := list }}
{{- range .Values.extraArgs }}
{{- if hasPrefix "--" . }}{{ $given = append $given (dict "name" (splitList "=" . | first)) }}{{ end }}
{{- end }}
{{- $spread := list }}
{{- range .Values.topologySpreadConstraints }}
{{- $spread = append $spread (dict "name" (printf "%s with %s" .topologyKey .whenUnsatisfiable)) }}
{{- end }}
{{- $volumes := include "acr-attach.volumes" . | fromYamlArray }}
{{- $mounts := include "acr-attach.volumeMounts" . | fromYamlArray }}
{{- $use := "leave it out, and use the chart's value for it" }}
{{- include "acr-attach.once" (list "extraArgs" "name" $given $flags $use) }}
{{- include "acr-attach.once" (list "extraEnv" "name" .Values.extraEnv $variables $use) }}
{{- include "acr-attach.once" (list "extraVolumes" "name" .Values.extraVolumes $volumes "give yours another name") }}
{{- include "acr-attach.once" (list "extraVolumeMounts" "mountPath" .Values.extraVolumeMounts $mounts "mount yours elsewhere") }}
{{- include "acr-attach.once" (list "hostAliases" "ip" .Values.hostAliases list "") }}
{{- include "acr-attach.once" (list "topologySpreadConstraints" "name" $spread list "") }}
{{- end }}

{{/* `list VALUE KEY GIVEN OWN REMEDY`: what an entry of GIVEN has at KEY, neither another one nor one of OWN has. */}}
{{- define "acr-attach.once" -}}
{{- $value := index . 0 }}
{{- $key := index . 1 }}
{{- $remedy := index . 4 }}
{{- $own := list }}
{{- range index . 3 }}{{ $own = append $own (get . $key) }}{{ end }}
{{- $seen := list }}
{{- range index . 2 }}
{{- $name := get . $key | trimSuffix "/" }}
{{- if has $name $own }}
{{- fail (printf "%s holds %s, which the chart sets: %s" $value $name $remedy) }}
{{- end }}
{{- if has $name $seen }}
{{- fail (printf "%s holds %s twice: keep one" $value $name) }}
{{- end }}
{{- $seen = append $seen $name }}
{{- end }}
{{- end }}
