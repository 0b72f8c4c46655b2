package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	fluxstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/fluxcd/pkg/runtime/conditions/check"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"acr-attach.dev/tests/gitops/recordings"
)

// More faults than these help nobody to find the first.
const shown = 20

// What the whole suite must have shown at least, so that recording nothing is no success.
const leastVersions = 1000

type court struct {
	final, inProgress *check.Checker
	statuses, reasons map[string]int
	fresh             int
	faults            []error
	sequences         map[string]*recordings.Sequence
}

func newCourt() *court {
	known := &check.Conditions{
		NegativePolarity: []string{"Stalled", "Reconciling"},
		PositivePolarity: []string{"Ready", "AccessGranted", "PullSecretsReady", "CredentialFresh"},
	}
	final, inProgress := check.NewChecker(nil, known), check.NewInProgressChecker(nil)
	for _, checker := range []*check.Checker{final, inProgress} {
		checker.DisableFetch, checker.Stdout, checker.Stderr = true, io.Discard, io.Discard
	}
	return &court{
		final: final, inProgress: inProgress,
		statuses: map[string]int{}, reasons: map[string]int{},
		sequences: map[string]*recordings.Sequence{},
	}
}

func judge(ctx context.Context, path string, wanted []string) error {
	versions, err := recordings.Read(path)
	if err != nil {
		return err
	}
	court := newCourt()
	for _, version := range versions {
		if err := court.hear(ctx, version); err != nil {
			court.faults = append(court.faults, fmt.Errorf("%s %s: %w", version.Place, version.Name(), err))
		}
	}
	for _, wish := range wanted {
		court.faults = append(court.faults, court.demand(wish, len(versions))...)
	}
	return court.sentence(len(versions))
}

// Hear compares what both libraries say of a version with what is promised, and lets Flux check
// its conditions.
func (c *court) hear(ctx context.Context, version recordings.Version) error {
	object := &unstructured.Unstructured{Object: version.Object}
	flux, err := fluxstatus.Compute(object)
	if err != nil {
		return fmt.Errorf("kstatus of Flux: %w", err)
	}
	upstream, err := k8sstatus.Compute(object)
	if err != nil {
		return fmt.Errorf("kstatus of Kubernetes SIGs: %w", err)
	}
	status := flux.Status.String()
	c.statuses[status]++
	c.reasons[version.Reason()]++
	c.follow(version, status)
	if upstream.Status.String() != status {
		return fmt.Errorf("Flux says %s, Kubernetes SIGs say %s", status, upstream.Status)
	}
	expected, err := version.Expected()
	if err != nil {
		return err
	}
	if !slices.Contains(expected, status) {
		return fmt.Errorf("is %s, expected %s, with reason %q: %s",
			status, strings.Join(expected, " or "), version.Reason(), flux.Message)
	}
	if !version.IsLookedAt() {
		// What the definition's default says. There is no condition to check yet.
		c.fresh++
		return nil
	}
	return c.check(ctx, object, status, version.IsSuspended())
}

// Check runs Flux's checks: the strict ones for a version that is settled. One that is suspended
// is not held to these: what it says of a role may be of the generation before.
func (c *court) check(ctx context.Context, object *unstructured.Unstructured, status string, suspended bool) error {
	checker := c.inProgress
	if !suspended && (status == recordings.Current || status == recordings.Failed) {
		checker = c.final
	}
	fail, warn := checker.Check(ctx, conditions.UnstructuredGetter(object))
	if fail != nil {
		fail = fmt.Errorf("FAIL of Flux's condition check while %s: %w", status, fail)
	}
	if warn != nil {
		warn = fmt.Errorf("WARN of Flux's condition check while %s: %w", status, warn)
	}
	return errors.Join(fail, warn)
}

func (c *court) follow(version recordings.Version, status string) {
	name := version.Name()
	if c.sequences[name] == nil {
		c.sequences[name] = &recordings.Sequence{Name: name}
	}
	c.sequences[name].Add(status)
}

// Demand compares what was seen with what somebody says that it must be.
func (c *court) demand(wish string, versions int) []error {
	name, value, _ := strings.Cut(wish, "=")
	switch name {
	case "--whole":
		return c.demandVariety(versions)
	case "--never":
		if count := c.statuses[value]; count > 0 {
			return []error{fmt.Errorf("%d versions are %s", count, value)}
		}
		return nil
	}
	found := c.sequences[name]
	if found == nil {
		return []error{fmt.Errorf("%s is not recorded", name)}
	}
	if !found.Is(strings.Split(value, ",")) {
		return []error{fmt.Errorf("%s was %s, expected %s", name, strings.Join(found.Statuses, ","), value)}
	}
	return nil
}

// DemandVariety finds out whether the suite has shown what there is to be seen.
func (c *court) demandVariety(versions int) []error {
	var missing []error
	if versions < leastVersions {
		missing = append(missing, fmt.Errorf("only %d versions are recorded, expected %d at least", versions, leastVersions))
	}
	for _, reason := range recordings.Reasons() {
		// A fault of the operator itself: no test makes one.
		if c.reasons[reason] == 0 && reason != "Internal" {
			missing = append(missing, fmt.Errorf("no version has reason %s", reason))
		}
	}
	return missing
}

func (c *court) sentence(versions int) error {
	fmt.Fprintf(os.Stdout, "Flux: %d versions of %d attachments: %s; %d before the first look; %d reasons\n",
		versions, len(c.sequences), counted(c.statuses), c.fresh, len(c.reasons))
	if len(c.faults) == 0 {
		return nil
	}
	return fmt.Errorf("%d faults:\n%w", len(c.faults), errors.Join(c.faults[:min(shown, len(c.faults))]...))
}

func counted(counts map[string]int) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[key], key))
	}
	return strings.Join(parts, ", ")
}
