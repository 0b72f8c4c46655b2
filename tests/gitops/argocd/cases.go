package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The forms of the files are those of Argo CD's own resource_customizations.
type healthCases struct {
	Tests []struct {
		InputPath    string              `json:"inputPath"`
		HealthStatus health.HealthStatus `json:"healthStatus"`
	} `json:"tests"`
}

type actionCases struct {
	DiscoveryTests []struct {
		InputPath string                    `json:"inputPath"`
		Result    []v1alpha1.ResourceAction `json:"result"`
	} `json:"discoveryTests"`
	ActionTests []struct {
		Action             string `json:"action"`
		InputPath          string `json:"inputPath"`
		ExpectedOutputPath string `json:"expectedOutputPath"`
	} `json:"actionTests"`
}

// The time at which an action runs.
var now = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)

const requestedAt = "reconcile.fluxcd.io/requestedAt"

func judgeCases(overrides map[string]v1alpha1.ResourceOverride, scripts string) (int, error) {
	var ofHealth healthCases
	if err := read(filepath.Join(scripts, "health_test.yaml"), &ofHealth); err != nil {
		return 0, err
	}
	for _, it := range ofHealth.Tests {
		object, err := object(scripts, it.InputPath)
		if err != nil {
			return 0, err
		}
		found, err := health.GetResourceHealth(object, lua.ResourceHealthOverrides(overrides))
		if err != nil {
			return 0, fmt.Errorf("health of %s: %w", it.InputPath, err)
		}
		if found == nil || *found != it.HealthStatus {
			return 0, fmt.Errorf("health of %s is %v, expected %v", it.InputPath, found, it.HealthStatus)
		}
	}
	for _, example := range []string{"operator.yaml", "application.yaml"} {
		if err := checkExample(filepath.Join(scripts, example)); err != nil {
			return 0, err
		}
	}
	actions, err := judgeActionCases(overrides, filepath.Join(scripts, "actions"))
	if err == nil && (len(ofHealth.Tests) == 0 || actions == 0) {
		err = fmt.Errorf("there is no case in %s", scripts)
	}
	return len(ofHealth.Tests) + actions, err
}

func judgeActionCases(overrides map[string]v1alpha1.ResourceOverride, folder string) (int, error) {
	var all actionCases
	if err := read(filepath.Join(folder, "action_test.yaml"), &all); err != nil {
		return 0, err
	}
	for _, it := range all.DiscoveryTests {
		object, err := object(folder, it.InputPath)
		if err != nil {
			return 0, err
		}
		offered, err := enabled(overrides, object)
		if err != nil {
			return 0, err
		}
		wanted := map[string]bool{}
		for _, action := range it.Result {
			wanted[action.Name] = !action.Disabled
		}
		if !maps.Equal(offered, wanted) {
			return 0, fmt.Errorf("%s offers %v, expected %v", it.InputPath, offered, wanted)
		}
	}
	for _, it := range all.ActionTests {
		if err := judgeAction(overrides, folder, it.Action, it.InputPath, it.ExpectedOutputPath); err != nil {
			return 0, err
		}
	}
	return len(all.DiscoveryTests) + len(all.ActionTests), nil
}

func judgeAction(overrides map[string]v1alpha1.ResourceOverride, folder, action, input, output string) error {
	before, err := object(folder, input)
	if err != nil {
		return err
	}
	wanted, err := object(folder, output)
	if err != nil {
		return err
	}
	after, err := perform(overrides, before, action)
	if err != nil {
		return err
	}
	if annotations := after.GetAnnotations(); now.MatchString(annotations[requestedAt]) {
		annotations[requestedAt] = wanted.GetAnnotations()[requestedAt]
		after.SetAnnotations(annotations)
	}
	if !reflect.DeepEqual(after.Object, wanted.Object) {
		return fmt.Errorf("%s makes of %s\n%v, expected\n%v", action, input, after.Object, wanted.Object)
	}
	return nil
}

// CheckExample reads an application as strictly as Argo CD's types are.
func checkExample(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var application v1alpha1.Application
	if err := yaml.UnmarshalStrict(text, &application); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if application.Spec.SyncPolicy == nil || !application.Spec.SyncPolicy.SyncOptions.HasOption("ServerSideApply=true") {
		return fmt.Errorf("%s: expected to be applied on the server's side", path)
	}
	return nil
}

func object(folder, path string) (*unstructured.Unstructured, error) {
	text, err := os.ReadFile(filepath.Join(folder, path))
	if err != nil {
		return nil, err
	}
	return parse(text)
}

func read(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}
