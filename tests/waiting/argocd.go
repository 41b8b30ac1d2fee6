package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// customizations is a directory of the form of resource_customizations in Argo CD's repository.
type customizations string

// health as Argo CD shows it.
type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func (c customizations) health(object *unstructured.Unstructured) (health, error) {
	var told health
	return told, c.run("health.lua", object, &told)
}

// act returns the object as an action leaves it.
func (c customizations) act(action string, object *unstructured.Unstructured) (map[string]any, error) {
	var after map[string]any
	return after, c.run(filepath.Join("actions", action, "action.lua"), object, &after)
}

// disabled tells which actions there are, and whether they are greyed out.
func (c customizations) disabled(object *unstructured.Unstructured) (map[string]bool, error) {
	var actions map[string]struct {
		Disabled bool `json:"disabled"`
	}
	err := c.run(filepath.Join("actions", "discovery.lua"), object, &actions)
	disabled := make(map[string]bool, len(actions))
	for name, action := range actions {
		disabled[name] = action.Disabled
	}
	return disabled, err
}

// run runs a script as Argo CD does: with the object as obj, the libraries that it grants to scripts of a cluster, and a
// second of time. What the script returns goes into result.
func (c customizations) run(script string, object *unstructured.Unstructured, result any) error {
	path := filepath.Join(string(c), object.GroupVersionKind().Group, object.GetKind(), script)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, library := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		state.Push(state.NewFunction(library))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	state.PreloadModule(lua.OsLibName, clockAlone)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", toLua(state, object.Object))
	if err := state.DoString(string(text)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	returned, err := json.Marshal(fromLua(state.Get(-1)))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return json.Unmarshal(returned, result)
}

// clockAlone is the module os with nothing but date and time.
func clockAlone(state *lua.LState) int {
	lua.OpenOs(state)
	whole := state.CheckTable(-1)
	safe := state.NewTable()
	for _, name := range []string{"date", "time"} {
		safe.RawSetString(name, whole.RawGetString(name))
	}
	state.Push(safe)
	return 1
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case int64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}

func fromLua(value lua.LValue) any {
	switch value := value.(type) {
	case lua.LBool:
		return bool(value)
	case lua.LNumber:
		return float64(value)
	case lua.LString:
		return string(value)
	case *lua.LTable:
		if value.MaxN() > 0 {
			var items []any
			value.ForEach(func(_, item lua.LValue) { items = append(items, fromLua(item)) })
			return items
		}
		fields := make(map[string]any)
		value.ForEach(func(key, item lua.LValue) { fields[key.String()] = fromLua(item) })
		return fields
	default:
		return nil
	}
}
