// Package recordings reads what the behaviour tests have recorded: every version of every
// RegistryAttachment that a real API server has sent, one JSON object a line.
package recordings

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Version is one version of an object, with where it was recorded.
type Version struct {
	Place  string
	Object map[string]any
}

// Read returns all versions below a folder, or in a file, in the order in which they came.
func Read(path string) ([]Version, error) {
	files := []string{path}
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("looking for recordings: %w", err)
	} else if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.jsonl")); err != nil {
			return nil, err
		}
	}
	var all []Version
	for _, file := range files {
		versions, err := readFile(file)
		if err != nil {
			return nil, err
		}
		all = append(all, versions...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("nothing is recorded in %s: run the behaviour tests with GITOPS_RECORDINGS=%s first", path, path)
	}
	return all, nil
}

func readFile(path string) ([]Version, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var versions []Version
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for number := 1; lines.Scan(); number++ {
		version := Version{Place: fmt.Sprintf("%s:%d", filepath.Base(path), number)}
		decoder := json.NewDecoder(strings.NewReader(lines.Text()))
		decoder.UseNumber()
		if err := decoder.Decode(&version.Object); err != nil {
			return nil, fmt.Errorf("reading %s: %w", version.Place, err)
		}
		version.Object = plain(version.Object).(map[string]any)
		versions = append(versions, version)
	}
	return versions, lines.Err()
}

// Kubernetes' own libraries know int64 and float64 alone.
func plain(value any) any {
	switch value := value.(type) {
	case json.Number:
		if number, err := value.Int64(); err == nil {
			return number
		}
		number, _ := value.Float64()
		return number
	case map[string]any:
		for key, inner := range value {
			value[key] = plain(inner)
		}
	case []any:
		for index, inner := range value {
			value[index] = plain(inner)
		}
	}
	return value
}

// Name of the object.
func (v Version) Name() string { return text(v.Object, "metadata", "name") }

// UID of the object.
func (v Version) UID() string { return text(v.Object, "metadata", "uid") }

// Reason of condition Ready; empty while there is none.
func (v Version) Reason() string { return text(v.ready(), "reason") }

// IsSuspended tells whether the object asks for nothing at the moment.
func (v Version) IsSuspended() bool {
	suspend, _ := at(v.Object, "spec", "suspend").(bool)
	return suspend
}

// IsDeleted tells whether somebody has deleted the object and finalizers hold it.
func (v Version) IsDeleted() bool { return text(v.Object, "metadata", "deletionTimestamp") != "" }

// IsLookedAt tells whether the operator has written a status: the definition's default is -1.
func (v Version) IsLookedAt() bool {
	observed, found := at(v.Object, "status", "observedGeneration").(int64)
	return found && observed >= 0
}

func (v Version) ready() map[string]any {
	conditions, _ := at(v.Object, "status", "conditions").([]any)
	for _, condition := range conditions {
		if condition, _ := condition.(map[string]any); text(condition, "type") == "Ready" {
			return condition
		}
	}
	return nil
}

func at(object map[string]any, path ...string) any {
	var value any = object
	for _, key := range path {
		fields, _ := value.(map[string]any)
		value = fields[key]
	}
	return value
}

func text(object map[string]any, path ...string) string {
	value, _ := at(object, path...).(string)
	return value
}
