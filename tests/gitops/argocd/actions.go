package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	jsonpatch "github.com/evanphx/json-patch"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var kind = schema.GroupVersionKind{Group: "acr-attach.dev", Version: "v1alpha1", Kind: "RegistryAttachment"}

// Act runs an action on a live attachment, and patches it as Argo CD's API server does.
func (c *cluster) act(ctx context.Context, name, action, scripts string) error {
	overrides, err := c.overrides(ctx, scripts)
	if err != nil {
		return err
	}
	live, err := c.kubectl.GetResource(ctx, c.config, kind, name, "")
	if err != nil {
		return err
	}
	offered, err := enabled(overrides, live)
	if err != nil {
		return err
	}
	if !offered[action] {
		return fmt.Errorf("%s is not offered for %s: %v", action, name, offered)
	}
	changed, err := perform(overrides, live, action)
	if err != nil {
		return err
	}
	before, err := json.Marshal(live)
	if err != nil {
		return err
	}
	after, err := json.Marshal(changed)
	if err != nil {
		return err
	}
	patch, err := jsonpatch.CreateMergePatch(before, after)
	if err != nil {
		return err
	}
	fmt.Printf("%s of %s: %s\n", action, name, patch)
	_, err = c.kubectl.PatchResource(ctx, c.config, kind, name, "", types.MergePatchType, patch)
	return err
}

// Perform returns what an action makes of an object.
func perform(overrides map[string]v1alpha1.ResourceOverride, object *unstructured.Unstructured, action string) (*unstructured.Unstructured, error) {
	vm := lua.VM{ResourceOverrides: overrides}
	definition, err := vm.GetResourceAction(object, action)
	if err != nil {
		return nil, fmt.Errorf("looking for action %s: %w", action, err)
	}
	results, err := vm.ExecuteResourceAction(object, definition.ActionLua, nil)
	if err != nil {
		return nil, fmt.Errorf("running action %s: %w", action, err)
	}
	if len(results) != 1 || results[0].K8SOperation != lua.PatchOperation {
		return nil, fmt.Errorf("action %s gives %d objects, expected one to patch", action, len(results))
	}
	return results[0].UnstructuredObj, nil
}

// Enabled tells which actions are offered for an object, and whether each can be chosen.
func enabled(overrides map[string]v1alpha1.ResourceOverride, object *unstructured.Unstructured) (map[string]bool, error) {
	vm := lua.VM{ResourceOverrides: overrides}
	scripts, err := vm.GetResourceActionDiscovery(object)
	if err != nil {
		return nil, err
	}
	actions, err := vm.ExecuteResourceActionDiscovery(object, scripts)
	if err != nil {
		return nil, fmt.Errorf("discovering actions: %w", err)
	}
	offered := map[string]bool{}
	for _, it := range actions {
		offered[it.Name] = !it.Disabled
	}
	return offered, nil
}
