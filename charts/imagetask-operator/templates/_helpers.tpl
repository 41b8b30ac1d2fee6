{{- define "imagetask-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Names are cut to 52 characters, so that the longest suffix, "-helm-test", leaves them within 63. */}}
{{- define "imagetask-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "imagetask-operator.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "imagetask-operator.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "imagetask-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "imagetask-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "imagetask-operator.labels" -}}
{{ include "imagetask-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "imagetask-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "imagetask-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name: name the ServiceAccount to use, or set serviceAccount.create" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "imagetask-operator.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* Subjects of every binding of the operator. */}}
{{- define "imagetask-operator.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "imagetask-operator.serviceAccount" . }}
    namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* What following ImageTasks takes, wherever they are. Secrets and the lease have roles of their own. */}}
{{- define "imagetask-operator.rules" -}}
rules:
  - apiGroups: [ecs.volcengine.com]
    resources: [imagetasks]
    verbs: [list, watch]
  - apiGroups: [ecs.volcengine.com]
    resources: [imagetasks/status]
    verbs: [update]
  - apiGroups: [""]
    resources: [events]
    verbs: [create]
{{- end }}

{{- define "imagetask-operator.secretRules" -}}
rules:
  - apiGroups: [""]
    resources: [secrets]
    verbs: [get]
{{- end }}
