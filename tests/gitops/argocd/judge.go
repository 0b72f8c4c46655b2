package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"acr-attach.dev/tests/gitops/recordings"
)

// More faults than these help nobody to find the first.
const shown = 20

// What Argo CD calls what kstatus says.
var named = map[string]health.HealthStatusCode{
	recordings.InProgress:  health.HealthStatusProgressing,
	recordings.Current:     health.HealthStatusHealthy,
	recordings.Failed:      health.HealthStatusDegraded,
	recordings.Terminating: health.HealthStatusProgressing,
}

func judge(ctx context.Context, cluster *cluster, scripts, path string) error {
	versions, err := recordings.Read(path)
	if err != nil {
		return err
	}
	overrides, err := cluster.overrides(ctx, scripts)
	if err != nil {
		return err
	}
	if overrides[lua.GetConfigMapKey(kind)].UseOpenLibs {
		return errors.New("the scripts ask for Lua's open libraries, which an administrator has to allow")
	}
	cases, err := judgeCases(overrides, scripts)
	if err != nil {
		return err
	}
	counts := map[string]int{}
	var faults []error
	for _, version := range versions {
		status, err := hear(overrides, version)
		counts[string(status)]++
		if err != nil {
			faults = append(faults, fmt.Errorf("%s %s: %w", version.Place, version.Name(), err))
		}
	}
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[status], status))
	}
	fmt.Printf("Argo CD: %d versions: %s; %d cases beside the scripts\n",
		len(versions), strings.Join(parts, ", "), cases)
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%d faults:\n%w", len(faults), errors.Join(faults[:min(shown, len(faults))]...))
}

// Hear compares what the health script says of a version with what is promised.
func hear(overrides map[string]v1alpha1.ResourceOverride, version recordings.Version) (health.HealthStatusCode, error) {
	object := &unstructured.Unstructured{Object: version.Object}
	found, err := health.GetResourceHealth(object, lua.ResourceHealthOverrides(overrides))
	if err != nil {
		return "", err
	}
	if found == nil {
		return "", errors.New("has no health")
	}
	expected, err := expected(version)
	if err != nil {
		return found.Status, err
	}
	if !slices.Contains(expected, found.Status) {
		return found.Status, fmt.Errorf("is %s, expected %v, with reason %q: %s", found.Status, expected, version.Reason(), found.Message)
	}
	if found.Message == "" {
		return found.Status, errors.New("has no message")
	}
	offered, err := enabled(overrides, object)
	if err != nil {
		return found.Status, err
	}
	suspended := version.IsSuspended()
	if wanted := map[string]bool{"reconcile": !suspended, "suspend": !suspended, "resume": suspended}; !maps.Equal(offered, wanted) {
		return found.Status, fmt.Errorf("offers %v, expected %v", offered, wanted)
	}
	return found.Status, nil
}

func expected(version recordings.Version) ([]health.HealthStatusCode, error) {
	if version.IsSuspended() && !version.IsDeleted() {
		return []health.HealthStatusCode{health.HealthStatusSuspended}, nil
	}
	statuses, err := version.Expected()
	var codes []health.HealthStatusCode
	for _, status := range statuses {
		codes = append(codes, named[status])
	}
	return codes, err
}
