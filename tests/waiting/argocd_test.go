package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	scripts    = customizations("../../docs/argocd/resource_customizations")
	annotation = "imagetasks.ecs.volcengine.com/reconcile-requested-at"
)

var directory = filepath.Join(string(scripts), "ecs.volcengine.com", "ImageTask")

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = yaml.UnmarshalStrict(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func readObject(t *testing.T, path string) *unstructured.Unstructured {
	var object unstructured.Unstructured
	readYAML(t, path, &object.Object)
	return &object
}

// The files of the tests are in the form that Argo CD's own tests read.
func TestHealthIsAsArgoCDsTestFilesSay(t *testing.T) {
	var file struct {
		Tests []struct {
			HealthStatus health `json:"healthStatus"`
			InputPath    string `json:"inputPath"`
		} `json:"tests"`
	}
	readYAML(t, filepath.Join(directory, "health_test.yaml"), &file)
	inputs, _ := filepath.Glob(filepath.Join(directory, "testdata", "*.yaml"))
	if len(file.Tests) == 0 || len(file.Tests) != len(inputs) {
		t.Fatalf("%d tests for %d inputs", len(file.Tests), len(inputs))
	}
	for _, test := range file.Tests {
		told, err := scripts.health(readObject(t, filepath.Join(directory, test.InputPath)))
		if err != nil || told != test.HealthStatus {
			t.Errorf("%s is %+v, not %+v: %v", test.InputPath, told, test.HealthStatus, err)
		}
	}
}

func TestActionsDoAsArgoCDsTestFilesSay(t *testing.T) {
	var file struct {
		DiscoveryTests []struct {
			InputPath string `json:"inputPath"`
			Result    []struct {
				Name     string `json:"name"`
				Disabled bool   `json:"disabled"`
			} `json:"result"`
		} `json:"discoveryTests"`
		ActionTests []struct {
			Action             string `json:"action"`
			InputPath          string `json:"inputPath"`
			ExpectedOutputPath string `json:"expectedOutputPath"`
		} `json:"actionTests"`
	}
	readYAML(t, filepath.Join(directory, "actions", "action_test.yaml"), &file)
	if len(file.DiscoveryTests) != 3 || len(file.ActionTests) != 3 {
		t.Fatalf("%d and %d tests", len(file.DiscoveryTests), len(file.ActionTests))
	}
	for _, test := range file.DiscoveryTests {
		disabled, err := scripts.disabled(readObject(t, filepath.Join(directory, "actions", test.InputPath)))
		expected := make(map[string]bool)
		for _, action := range test.Result {
			expected[action.Name] = action.Disabled
		}
		if err != nil || !reflect.DeepEqual(disabled, expected) {
			t.Errorf("%s has %v, not %v: %v", test.InputPath, disabled, expected, err)
		}
	}
	for _, test := range file.ActionTests {
		after, err := scripts.act(test.Action, readObject(t, filepath.Join(directory, "actions", test.InputPath)))
		if err != nil {
			t.Fatal(err)
		}
		expected := readObject(t, filepath.Join(directory, "actions", test.ExpectedOutputPath)).Object
		for _, object := range []map[string]any{after, expected} {
			forgetWhen(object)
		}
		if got, want := canonical(t, after), canonical(t, expected); got != want {
			t.Errorf("%s makes %s of %s, not %s", test.Action, got, test.InputPath, want)
		}
	}
}

// forgetWhen blanks the time of a refresh, which is never twice the same.
func forgetWhen(object map[string]any) {
	metadata := object["metadata"].(map[string]any)
	if annotations, ok := metadata["annotations"].(map[string]any); ok && annotations[annotation] != nil {
		annotations[annotation] = "when"
	}
}

func canonical(t *testing.T, object map[string]any) string {
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
