package main

import (
	"context"
	"fmt"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	argodiff "github.com/argoproj/argo-cd/v3/util/argo/diff"
	"github.com/argoproj/argo-cd/v3/util/argo/normalizers"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
)

// Apply syncs the objects twice. The second time must change nothing.
func (c *cluster) apply(ctx context.Context, path, side string) error {
	objects, err := manifests(path)
	if err != nil {
		return err
	}
	operations, cleanup, err := c.kubectl.ManageResources(c.config)
	if err != nil {
		return err
	}
	defer cleanup()
	for _, object := range objects {
		var generations []int64
		for range 2 {
			_, err := operations.ApplyResource(ctx, object, cmdutil.DryRunNone, false, true, side == "server", common.ArgoCDSSAManager)
			if err != nil {
				return fmt.Errorf("applying %s: %w", object.GetName(), err)
			}
			live, err := c.live(ctx, object)
			if err != nil {
				return err
			}
			generations = append(generations, live.GetGeneration())
		}
		if generations[0] != generations[1] {
			return fmt.Errorf("%s has generation %d, and %d after a second sync", object.GetName(), generations[0], generations[1])
		}
	}
	fmt.Printf("%d objects synced twice by the %s\n", len(objects), side)
	return nil
}

// Diff compares what stands in Git with what the cluster holds, in every way that Argo CD knows for
// objects applied there.
func (c *cluster) diff(path, side string) error {
	ctx := context.Background()
	objects, err := manifests(path)
	if err != nil {
		return err
	}
	var lives []*unstructured.Unstructured
	for _, object := range objects {
		live, err := c.live(ctx, object)
		if err != nil {
			return err
		}
		if observed, _, _ := unstructured.NestedInt64(live.Object, "status", "observedGeneration"); observed < 1 {
			return fmt.Errorf("the operator has not looked at %s yet: comparing it would prove little", live.GetName())
		}
		lives = append(lives, live)
	}
	ways, cleanup, err := c.ways(side)
	if err != nil {
		return err
	}
	defer cleanup()
	for name, way := range ways {
		if err := compare(name, way, objects, lives); err != nil {
			return err
		}
	}
	return nil
}

// Ways lists how Argo CD may be set to compare.
func (c *cluster) ways(side string) (map[string]argodiff.DiffConfig, func(), error) {
	_, parser, err := c.kubectl.LoadOpenAPISchema(c.config)
	if err != nil {
		return nil, nil, err
	}
	applier, cleanup, err := c.kubectl.ManageServerSideDiffDryRuns(c.config)
	if err != nil {
		return nil, nil, err
	}
	builder := func() *argodiff.DiffConfigBuilder {
		status := v1alpha1.ResourceOverride{IgnoreDifferences: v1alpha1.OverrideIgnoreDiff{JSONPointers: []string{"/status"}}}
		return argodiff.NewDiffConfigBuilder().
			WithDiffSettings(nil, map[string]v1alpha1.ResourceOverride{"*/*": status}, true, normalizers.IgnoreNormalizerOpts{}).
			WithTracking(labelKey, string(v1alpha1.TrackingMethodAnnotation)).
			WithNoCache().WithGVKParser(parser).WithManager(common.ArgoCDSSAManager)
	}
	builders := map[string]*argodiff.DiffConfigBuilder{}
	switch side {
	case "client":
		builders["three-way diff"] = builder()
	case "server":
		builders["structured merge diff"] = builder().WithStructuredMergeDiff(true)
		builders["server-side diff"] = builder().WithServerSideDiff(true).
			WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier))
	default:
		return nil, nil, fmt.Errorf("apply by client or by server, not by %s", side)
	}
	ways := map[string]argodiff.DiffConfig{}
	for name, builder := range builders {
		if ways[name], err = builder.Build(); err != nil {
			return nil, nil, err
		}
	}
	return ways, cleanup, nil
}

func compare(name string, way argodiff.DiffConfig, objects, lives []*unstructured.Unstructured) error {
	found, err := argodiff.StateDiffs(copies(lives), copies(objects), way)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for index, it := range found.Diffs {
		if it.Modified {
			return fmt.Errorf("%s: %s is out of sync:\nlive   %s\nwanted %s",
				name, objects[index].GetName(), it.NormalizedLive, it.PredictedLive)
		}
	}
	// A way that overlooks a change finds nothing in anything.
	changed := copies(objects)
	for _, object := range changed {
		if err := unstructured.SetNestedField(object.Object, "Orphan", "spec", "deletionPolicy"); err != nil {
			return err
		}
	}
	if found, err = argodiff.StateDiffs(copies(lives), changed, way); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for index, it := range found.Diffs {
		if !it.Modified {
			return fmt.Errorf("%s: does not see that %s is changed in Git", name, objects[index].GetName())
		}
	}
	fmt.Printf("%s: nothing to sync in %d objects\n", name, len(objects))
	return nil
}

// Comparing normalizes what it is given.
func copies(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for _, it := range objects {
		all = append(all, it.DeepCopy())
	}
	return all
}
