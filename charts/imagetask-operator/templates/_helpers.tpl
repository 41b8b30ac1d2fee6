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

{{- /* Of objects that belong to no namespace: another release may have the same name in another one. */}}
{{- define "imagetask-operator.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "imagetask-operator.fullname" .) }}
{{- end }}

{{- define "imagetask-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "imagetask-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "imagetask-operator.labels" -}}
{{ include "imagetask-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ (include "imagetask-operator.which" . | fromYaml).version | quote }}
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

{{- /* The image to run, as YAML: `image`, and the `version` that it is of, as a label may hold it.

What the user says wins. A release writes where its image is, and its digest, into the annotations of Chart.yaml; the
digest counts only while the user says nothing of the image: neither repository, tag or digest, nor another registry. */}}
{{- define "imagetask-operator.which" -}}
{{- $registry := .Values.global.imageRegistry }}
{{- $released := default (dict) .Chart.Annotations }}
{{- $repository := default (index $released "ecs.volcengine.com/image-repository") .Values.image.repository }}
{{- $_ := required "image.repository: say where the image is; this chart was not made by a release, which would know" $repository }}
{{- $repository = include "imagetask-operator.mirrored" (dict "image" $repository "registry" $registry) }}
{{- $digest := .Values.image.digest }}
{{- $tag := .Values.image.tag }}
{{- if not (or .Values.image.repository $tag $digest $registry) }}
{{- $digest = index $released "ecs.volcengine.com/image-digest" }}
{{- else if not $digest }}
{{- $tag = default .Chart.AppVersion $tag }}
{{- end }}
{{- $suffix := "" }}
{{- with $tag }}{{ $suffix = printf ":%s" . }}{{ end }}
{{- with $digest }}{{ $suffix = printf "%s@%s" $suffix . }}{{ end }}
{{- /* Of a digest alone no version is known. */}}
{{- $version := default .Chart.AppVersion (default (.Values.image.digest | trunc 19) $tag) }}
image: {{ printf "%s%s" $repository $suffix | quote }}
version: {{ regexReplaceAll "[^A-Za-z0-9_.-]" $version "-" | trunc 63 | trimAll "-_." | quote }}
{{- end }}

{{- /* An image at another registry: its first part is one if it has a dot or a port, or is localhost. */}}
{{- define "imagetask-operator.mirrored" -}}
{{- if .registry }}
{{- printf "%s/%s" (trimSuffix "/" .registry) (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" .image "") }}
{{- else }}
{{- .image }}
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
