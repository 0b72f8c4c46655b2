{{/* What the operator may write, kind by kind, beyond what roles can say. */}}

{{- define "acr-attach.fence.attachments" -}}
variables:
  - name: ours
    expression: "['acr-attach.dev/role-assignments', 'acr-attach.dev/service-accounts']"
validations:
  - expression: request.operation == 'UPDATE'
    message: acr-attach may neither create nor delete attachments
    reason: Forbidden
  - expression: >-
      request.operation != 'UPDATE' ||
      object.?spec == oldObject.?spec &&
      object.metadata.?labels == oldObject.metadata.?labels &&
      object.metadata.?annotations == oldObject.metadata.?annotations &&
      object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences
    message: acr-attach may change nothing of attachments but status and its finalizers
    reason: Forbidden
  - expression: >-
      request.operation != 'UPDATE' ||
      object.metadata.?finalizers.orValue([]).filter(it, !(it in variables.ours)) ==
      oldObject.metadata.?finalizers.orValue([]).filter(it, !(it in variables.ours))
    message: acr-attach may add and remove no finalizers but its own
    reason: Forbidden
{{- end }}

{{- define "acr-attach.fence.secrets" -}}
variables:
  - name: either
    expression: "request.operation == 'DELETE' ? oldObject : object"
validations:
  {{- if not (include "acr-attach.anyName" .Values.pullSecrets.names) }}
  - expression: variables.either.metadata.name in {{ toJson .Values.pullSecrets.names }}
    message: acr-attach may write no Secrets but those named in pullSecrets.names
    reason: Forbidden
  {{- end }}
  - expression: >-
      request.operation == 'CREATE' ||
      'acr-attach.dev/attachment' in oldObject.metadata.?labels.orValue({}) ||
      oldObject.metadata.?ownerReferences.orValue([]).exists(it,
      it.kind == 'RegistryAttachment' && it.apiVersion.startsWith('acr-attach.dev/'))
    message: acr-attach may neither change nor delete a Secret that it did not make
    reason: Forbidden
  - expression: variables.either.type == 'kubernetes.io/dockerconfigjson'
    message: acr-attach may write no Secrets but of type kubernetes.io/dockerconfigjson
    reason: Forbidden
  - expression: >-
      request.operation == 'DELETE' ||
      object.metadata.?labels['app.kubernetes.io/managed-by'].orValue('') == 'acr-attach' &&
      object.metadata.?ownerReferences.orValue([]).exists(it,
      it.kind == 'RegistryAttachment' && it.apiVersion.startsWith('acr-attach.dev/') &&
      it.uid == object.metadata.?labels['acr-attach.dev/attachment'].orValue(''))
    message: acr-attach may write no Secrets but with its labels and an owner reference to an attachment
    reason: Forbidden
{{- end }}

{{- define "acr-attach.fence.service-accounts" -}}
variables:
  - name: mark
    expression: "'pull-secrets.acr-attach.dev/'"
  - name: now
    expression: "request.operation == 'UPDATE' ? object.metadata.?annotations.orValue({}) : {}"
  - name: before
    expression: "request.operation == 'UPDATE' ? oldObject.metadata.?annotations.orValue({}) : {}"
validations:
  - expression: request.operation == 'UPDATE'
    message: acr-attach may neither create nor delete service accounts
    reason: Forbidden
  {{- if not (include "acr-attach.anyName" .Values.pullSecrets.serviceAccounts) }}
  - expression: request.name in {{ toJson .Values.pullSecrets.serviceAccounts }}
    message: acr-attach may change no service accounts but those named in pullSecrets.serviceAccounts
    reason: Forbidden
  {{- end }}
  - expression: >-
      request.operation != 'UPDATE' ||
      object.?secrets == oldObject.?secrets &&
      object.?automountServiceAccountToken == oldObject.?automountServiceAccountToken &&
      object.metadata.?labels == oldObject.metadata.?labels &&
      object.metadata.?finalizers == oldObject.metadata.?finalizers &&
      object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences
    message: acr-attach may change nothing of service accounts but imagePullSecrets and its annotations
    reason: Forbidden
  - expression: >-
      variables.now.all(it, it.startsWith(variables.mark) ||
      it in variables.before && variables.before[it] == variables.now[it]) &&
      variables.before.all(it, it.startsWith(variables.mark) || it in variables.now)
    message: acr-attach may change no annotations of service accounts but its own
    reason: Forbidden
  # What it adds it marks, and what it removes was marked before: entries of others are the same, one by one.
  - expression: >-
      request.operation != 'UPDATE' ||
      object.?imagePullSecrets.orValue([]).filter(it, !((variables.mark + it.?name.orValue('')) in variables.before) &&
      !((variables.mark + it.?name.orValue('')) in variables.now && !(it in oldObject.?imagePullSecrets.orValue([])))) ==
      oldObject.?imagePullSecrets.orValue([]).filter(it, !((variables.mark + it.?name.orValue('')) in variables.before))
    message: acr-attach may add and remove no entries of imagePullSecrets but those that it marks
    reason: Forbidden
  {{- if not (include "acr-attach.anyName" .Values.pullSecrets.names) }}
  # It may take back what it marked when other names were allowed.
  - expression: >-
      variables.now.all(it, !it.startsWith(variables.mark) ||
      it in variables.before && variables.before[it] == variables.now[it] ||
      {{ toJson .Values.pullSecrets.names }}.exists(name, variables.mark + name == it))
    message: acr-attach may mark no entries of imagePullSecrets but those named in pullSecrets.names
    reason: Forbidden
  {{- end }}
{{- end }}

{{- define "acr-attach.fence.leases" -}}
validations:
  - expression: >-
      request.operation != 'DELETE' && object.metadata.name == '{{ include "acr-attach.leaseName" . }}' &&
      request.userInfo.username.startsWith('system:serviceaccount:' + request.namespace + ':')
    message: acr-attach may write no Lease but its own
    reason: Forbidden
{{- end }}
