package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/utils"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Flux looks every 5 s. A status that is wrong for a moment shall not slip through.
const interval = 100 * time.Millisecond

func manifests(path string) ([]*unstructured.Unstructured, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	objects, err := utils.ReadObjects(file)
	if err != nil {
		return nil, fmt.Errorf("reading objects from %s: %w", path, err)
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("%s holds no object", path)
	}
	return objects, nil
}

// Manager returns Flux's own, as that controller sets it up.
func manager(controller string) (*ssa.ResourceManager, error) {
	// What goes wrong comes back as an error.
	log.SetLogger(logr.Discard())
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig that KUBECONFIG names: %w", err)
	}
	config.QPS, config.Burst = 500, 1000
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, http)
	if err != nil {
		return nil, err
	}
	kube, err := client.New(config, client.Options{HTTPClient: http, Mapper: mapper})
	if err != nil {
		return nil, err
	}
	poller := polling.NewStatusPoller(kube, mapper, polling.Options{})
	owner := ssa.Owner{Field: controller, Group: controller + ".toolkit.fluxcd.io"}
	return ssa.NewResourceManager(kube, poller, owner), nil
}

func applyAndWait(ctx context.Context, objects []*unstructured.Unstructured, timeout time.Duration) error {
	flux, err := manager("kustomize-controller")
	if err != nil {
		return err
	}
	changes, err := flux.ApplyAll(ctx, objects, ssa.DefaultApplyOptions())
	if err != nil {
		return fmt.Errorf("ApplyAll: %w", err)
	}
	fmt.Println(changes)
	if timeout == 0 {
		return nil
	}
	set := object.UnstructuredSetToObjMetadataSet(objects)
	start := time.Now()
	options := ssa.WaitOptions{Interval: interval, Timeout: timeout, FailFast: true}
	if err := flux.WaitForSet(set, options); err != nil {
		return fmt.Errorf("WaitForSet: %w", err)
	}
	fmt.Printf("all Current after %.1f s\n", time.Since(start).Seconds())
	return nil
}

// Reapply applies the same objects again and again, by two controllers of Flux in turn, and fails
// when that changes anything: somebody else writes where they do.
func reapply(ctx context.Context, objects []*unstructured.Unstructured, rounds int) error {
	var appliers []*ssa.ResourceManager
	for _, name := range []string{"kustomize-controller", "helm-controller"} {
		flux, err := manager(name)
		if err != nil {
			return err
		}
		if _, err := flux.ApplyAll(ctx, copies(objects), ssa.DefaultApplyOptions()); err != nil {
			return fmt.Errorf("ApplyAll by %s: %w", name, err)
		}
		appliers = append(appliers, flux)
	}
	before, err := generations(ctx, appliers[0].Client(), objects)
	if err != nil {
		return err
	}
	for round := range rounds {
		changes, err := appliers[round%len(appliers)].ApplyAll(ctx, copies(objects), ssa.DefaultApplyOptions())
		if err != nil {
			return fmt.Errorf("ApplyAll in round %d: %w", round, err)
		}
		for _, entry := range changes.Entries {
			if entry.Action != ssa.UnchangedAction {
				return fmt.Errorf("%s is %s in round %d", entry.Subject, entry.Action, round)
			}
		}
		after, err := generations(ctx, appliers[0].Client(), objects)
		if err != nil {
			return err
		}
		if after != before {
			return fmt.Errorf("generations were %s, and are %s after round %d", before, after, round)
		}
	}
	fmt.Printf("nothing changed in %d rounds: %s\n", rounds, before)
	return nil
}

// ApplyAll writes into what it is given.
func copies(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for _, it := range objects {
		all = append(all, it.DeepCopy())
	}
	return all
}

func generations(ctx context.Context, kube client.Client, objects []*unstructured.Unstructured) (string, error) {
	text := ""
	for _, it := range objects {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(it.GroupVersionKind())
		if err := kube.Get(ctx, client.ObjectKeyFromObject(it), live); err != nil {
			return "", err
		}
		text += fmt.Sprintf("[%s %d]", it.GetName(), live.GetGeneration())
	}
	return text, nil
}

func deleteAndWait(ctx context.Context, objects []*unstructured.Unstructured, timeout time.Duration) error {
	flux, err := manager("kustomize-controller")
	if err != nil {
		return err
	}
	changes, err := flux.DeleteAll(ctx, objects, ssa.DefaultDeleteOptions())
	if err != nil {
		return fmt.Errorf("DeleteAll: %w", err)
	}
	fmt.Println(changes)
	if timeout == 0 {
		return nil
	}
	start := time.Now()
	options := ssa.WaitOptions{Interval: interval, Timeout: timeout}
	if err := flux.WaitForTermination(objects, options); err != nil {
		return fmt.Errorf("WaitForTermination: %w", err)
	}
	fmt.Printf("all gone after %.1f s\n", time.Since(start).Seconds())
	return nil
}
