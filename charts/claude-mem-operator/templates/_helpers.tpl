{{- define "claude-mem-operator.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* The installation's name, cut so that every suffix below it fits into 63 characters. */}}
{{- define "claude-mem-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "claude-mem-operator.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "claude-mem-operator.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "claude-mem-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "claude-mem-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "claude-mem-operator.labels" -}}
{{ include "claude-mem-operator.selectorLabels" . }}
app.kubernetes.io/part-of: claude-mem
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "claude-mem-operator.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "claude-mem-operator.fullname" .) "default") }}
{{- end }}

{{- define "claude-mem-operator.webhookService" -}}
{{ include "claude-mem-operator.fullname" . }}-webhook
{{- end }}

{{- define "claude-mem-operator.webhookSecret" -}}
{{- .Values.webhook.certificate.secretName | default (printf "%s-webhook-cert" (include "claude-mem-operator.fullname" .)) }}
{{- end }}

{{- define "claude-mem-operator.authoritySecret" -}}
{{ include "claude-mem-operator.fullname" . }}-webhook-ca
{{- end }}

{{- define "claude-mem-operator.ownCertificate" -}}
{{- and .Values.webhook.enabled (eq .Values.webhook.certificate.source "own") | ternary "true" "" }}
{{- end }}

{{- /* A reference to an image: dict "image" (repository, tag, digest), "tag" the tag without one. */}}
{{- define "claude-mem-operator.image" -}}
{{- if .image.digest }}
{{- printf "%s@%s" .image.repository .image.digest }}
{{- else }}
{{- printf "%s:%s" .image.repository (.image.tag | default .tag) }}
{{- end }}
{{- end }}

{{- /* The namespaces whose resources are checked: the user's selector, narrowed to those looked after. */}}
{{- define "claude-mem-operator.namespaceSelector" -}}
{{- $selector := deepCopy .Values.webhook.namespaceSelector }}
{{- with .Values.watchNamespaces }}
{{- $only := dict "key" "kubernetes.io/metadata.name" "operator" "In" "values" . }}
{{- $_ := set $selector "matchExpressions" (append ($selector.matchExpressions | default list) $only) }}
{{- end }}
{{- toYaml $selector }}
{{- end }}
