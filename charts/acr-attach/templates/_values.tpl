{{/* Puts the chart's default in the place of a value that is left empty: Helm keeps no key for `caBundle:` with
nothing below it, and would leave templates without the section. Every template begins with this. */}}
{{- define "acr-attach.defaults" -}}
{{- include "acr-attach.fill" (list .Values (include "acr-attach.own" . | fromYaml)) }}
{{- end }}

{{/* The chart's values.yaml: `.Files` holds this copy of it, not the file itself. */}}
{{- define "acr-attach.own" -}}
{{- .Files.Get "files/values.yaml" }}
{{- end }}

{{/* `list VALUES DEFAULTS`. In maps whose keys are not the chart's, a null takes a single default away. */}}
{{- define "acr-attach.fill" -}}
{{- $values := index . 0 }}
{{- $free := list "resources" "podSecurityContext" "securityContext" "nodeSelector" "podAnnotations" "podLabels" }}
{{- range $key, $default := index . 1 }}
{{- if kindIs "invalid" (index $values $key) }}
{{- $_ := set $values $key $default }}
{{- else if and (kindIs "map" $default) (not (has $key $free)) }}
{{- include "acr-attach.fill" (list (index $values $key) $default) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether OpenShift gives pods their ids. */}}
{{- define "acr-attach.openshift" -}}
{{- $value := toString .Values.openshift }}
{{- $served := .Capabilities.APIVersions.Has "security.openshift.io/v1" }}
{{- if or (has $value (list "true" "on")) (and (eq $value "auto") $served) }}true{{ end }}
{{- end }}

{{/* `list $ KEY`: that security context. On OpenShift it lacks the chart's own ids: the platform takes none but those
of the namespace's range, and chooses one where a pod names none. An id that the user has set stays. */}}
{{- define "acr-attach.securityContext" -}}
{{- $root := index . 0 }}
{{- $context := index $root.Values (index . 1) }}
{{- if include "acr-attach.openshift" $root }}
{{- $own := index (include "acr-attach.own" $root | fromYaml) (index . 1) }}
{{- range list "runAsUser" "runAsGroup" "fsGroup" }}
{{- if eq (toString (index $context .)) (toString (index $own .)) }}
{{- $context = omit $context . }}
{{- end }}
{{- end }}
{{- end }}
{{- with $context }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* Charts of others give names alone in `global`, or objects. A name stands once. */}}
{{- define "acr-attach.imagePullSecrets" -}}
{{- $secrets := list }}
{{- range .Values.global.imagePullSecrets }}
{{- if kindIs "map" . }}
{{- $secrets = append $secrets (dict "name" .name) }}
{{- else }}
{{- $secrets = append $secrets (dict "name" .) }}
{{- end }}
{{- end }}
{{- with $secrets }}{{ uniq . | toYaml }}{{ end }}
{{- end }}
