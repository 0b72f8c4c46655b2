package recordings

import (
	"fmt"
	"maps"
	"slices"
)

// The words of kstatus.
const (
	InProgress  = "InProgress"
	Current     = "Current"
	Failed      = "Failed"
	Terminating = "Terminating"
)

// What the reason of Ready promises. These are the words of docs/reference.md, and not of
// Reconciling and Stalled, by which kstatus judges: so that one can contradict the other.
var promised = map[string][]string{
	"Attached":  {Current},
	"Suspended": {Current, InProgress},

	// Nobody but somebody who acts can help.
	"InvalidSpec":       {Failed},
	"Unsupported":       {Failed},
	"NotAllowed":        {Failed},
	"NotOurs":           {Failed},
	"ExternallyManaged": {Failed},
	"QuotaExceeded":     {Failed},
	"Locked":            {Failed},

	// It passes by itself: a rollout that waits must never fail of it.
	"Progressing": {InProgress},
	"Detaching":   {InProgress},
	"Throttled":   {InProgress},
	"Unavailable": {InProgress},
	"Internal":    {InProgress},

	// It may pass, until the patience ends.
	"Undetermined":         {InProgress, Failed},
	"AuthenticationFailed": {InProgress, Failed},
	"AccessDenied":         {InProgress, Failed},
	"AdmissionDenied":      {InProgress, Failed},
	"NotFound":             {InProgress, Failed},
	"Propagating":          {InProgress, Failed},
}

// Expected returns what kstatus may say of a version.
func (v Version) Expected() ([]string, error) {
	generation, _ := at(v.Object, "metadata", "generation").(int64)
	observed, _ := at(v.Object, "status", "observedGeneration").(int64)
	switch {
	case v.IsDeleted():
		return []string{Terminating}, nil
	case generation != observed:
		return []string{InProgress}, nil
	}
	allowed, found := promised[v.Reason()]
	if !found {
		return nil, fmt.Errorf("Ready has reason %q, which promises nothing", v.Reason())
	}
	isTrue := text(v.ready(), "status") == "True"
	if v.Reason() != "Suspended" && isTrue != (v.Reason() == "Attached") {
		return nil, fmt.Errorf("Ready is %s with reason %s", text(v.ready(), "status"), v.Reason())
	}
	return allowed, nil
}

// Sequence follows what became of one object: its statuses without repetitions.
type Sequence struct {
	Name     string
	Statuses []string
}

// Add notes the next status.
func (s *Sequence) Add(status string) {
	if len(s.Statuses) == 0 || s.Statuses[len(s.Statuses)-1] != status {
		s.Statuses = append(s.Statuses, status)
	}
}

// Is tells whether the statuses are these.
func (s *Sequence) Is(statuses []string) bool { return slices.Equal(s.Statuses, statuses) }

// Reasons lists all that Ready can have.
func Reasons() []string { return slices.Sorted(maps.Keys(promised)) }
