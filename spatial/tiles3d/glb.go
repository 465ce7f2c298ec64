package tiles3d

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
)

// The parts of glTF 2.0 that are written.
type (
	gltf struct {
		Asset          gltfAsset        `json:"asset"`
		ExtensionsUsed []string         `json:"extensionsUsed,omitempty"`
		Extensions     map[string]any   `json:"extensions,omitempty"`
		Scene          int              `json:"scene"`
		Scenes         []gltfScene      `json:"scenes"`
		Nodes          []gltfNode       `json:"nodes,omitempty"`
		Meshes         []gltfMesh       `json:"meshes,omitempty"`
		Materials      []gltfMaterial   `json:"materials,omitempty"`
		Accessors      []gltfAccessor   `json:"accessors,omitempty"`
		BufferViews    []gltfBufferView `json:"bufferViews,omitempty"`
		Buffers        []gltfBuffer     `json:"buffers,omitempty"`
	}
	gltfAsset struct {
		Version   string `json:"version"`
		Generator string `json:"generator"`
	}
	gltfScene struct {
		Nodes []int `json:"nodes,omitempty"`
	}
	gltfNode struct {
		Mesh        int        `json:"mesh"`
		Translation [3]float64 `json:"translation"`
		Rotation    [4]float64 `json:"rotation"`
	}
	gltfMesh struct {
		Primitives []gltfPrimitive `json:"primitives"`
	}
	gltfPrimitive struct {
		Attributes map[string]int `json:"attributes"`
		Indices    int            `json:"indices"`
		Material   int            `json:"material"`
		Extensions map[string]any `json:"extensions"`
	}
	gltfMaterial struct {
		Name string `json:"name"`
		PBR  struct {
			BaseColor [4]float64 `json:"baseColorFactor"`
			Metallic  float64    `json:"metallicFactor"`
			Roughness float64    `json:"roughnessFactor"`
		} `json:"pbrMetallicRoughness"`
		DoubleSided bool `json:"doubleSided"`
	}
	gltfAccessor struct {
		BufferView    int         `json:"bufferView"`
		ComponentType int         `json:"componentType"`
		Count         int         `json:"count"`
		Type          string      `json:"type"`
		Min           *[3]float32 `json:"min,omitempty"`
		Max           *[3]float32 `json:"max,omitempty"`
	}
	gltfBufferView struct {
		Buffer     int `json:"buffer"`
		ByteOffset int `json:"byteOffset"`
		ByteLength int `json:"byteLength"`
		Target     int `json:"target,omitempty"`
	}
	gltfBuffer struct {
		ByteLength int `json:"byteLength"`
	}
)

// Numbers of glTF.
const (
	gltfUnsignedShort = 5123
	gltfUnsignedInt   = 5125
	gltfFloat         = 5126
	gltfArrayBuffer   = 34962
	gltfElementBuffer = 34963
	maxGLBBytes       = 1 << 31
)

// glb writes the content as binary glTF (glTF 2.0 section 4), with a mesh and a
// node for each of c.meshes and a primitive for each material.
func (c *content) glb() ([]byte, error) {
	g := gltf{Asset: gltfAsset{"2.0", "cityhub"}, Scenes: make([]gltfScene, 1)}
	size := 0
	for _, m := range c.meshes {
		for i := range m.parts {
			p := &m.parts[i]
			size += 28*len(p.feature) + 4*len(p.index) + 32
		}
	}
	table := columns(c.features)
	for i := range table {
		size += len(table[i].values) + len(table[i].offsets) + 16
	}
	if size > maxGLBBytes {
		return nil, fmt.Errorf("tiles3d: a content of %d bytes is more than the %d that one may have; lower TileObjects", size, maxGLBBytes)
	}
	w := glbWriter{g: &g, bin: make([]byte, 0, size)}
	materialAt := map[material]int{}
	for _, m := range c.meshes {
		var mesh gltfMesh
		for i := range m.parts {
			p := &m.parts[i]
			if len(p.index) == 0 {
				continue
			}
			at, ok := materialAt[material(i)]
			if !ok {
				at = len(g.Materials)
				materialAt[material(i)] = at
				mat := gltfMaterial{Name: materials[i].name, DoubleSided: true}
				mat.PBR.BaseColor, mat.PBR.Roughness = material(i).linear(), 0.9
				g.Materials = append(g.Materials, mat)
			}
			mesh.Primitives = append(mesh.Primitives, w.primitive(p, at, len(c.features)))
		}
		if len(mesh.Primitives) > 0 {
			translation, rotation := m.frame.node()
			g.Scenes[0].Nodes = append(g.Scenes[0].Nodes, len(g.Nodes))
			g.Nodes = append(g.Nodes, gltfNode{len(g.Meshes), translation, rotation})
			g.Meshes = append(g.Meshes, mesh)
		}
	}
	if len(c.features) > 0 {
		w.table(table, len(c.features))
	}
	if len(w.bin) > 0 {
		g.Buffers = []gltfBuffer{{len(w.bin)}}
	}
	head, err := json.Marshal(&g)
	if err != nil {
		return nil, fmt.Errorf("tiles3d: glTF: %w", err)
	}
	return glbFile(head, w.bin), nil
}

// glbFile puts the chunks together, the JSON filled up with spaces and the
// binary with zeros to four bytes.
func glbFile(head, bin []byte) []byte {
	pad := func(n int) int { return (4 - n%4) % 4 }
	total := 12 + 8 + len(head) + pad(len(head))
	if len(bin) > 0 {
		total += 8 + len(bin) + pad(len(bin))
	}
	b := make([]byte, 0, total)
	b = append(b, "glTF"...)
	b = binary.LittleEndian.AppendUint32(b, 2)
	b = binary.LittleEndian.AppendUint32(b, uint32(total))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(head)+pad(len(head))))
	b = append(b, "JSON"...)
	b = append(b, head...)
	b = append(b, "   "[:pad(len(head))]...)
	if len(bin) > 0 {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(bin)+pad(len(bin))))
		b = append(b, "BIN\x00"...)
		b = append(b, bin...)
		b = append(b, "\x00\x00\x00"[:pad(len(bin))]...)
	}
	return b
}

type glbWriter struct {
	g   *gltf
	bin []byte
}

// view adds a buffer view at the next multiple of eight bytes, as the widest
// numbers of the property table want it.
func (w *glbWriter) view(target int, write func([]byte) []byte) int {
	for len(w.bin)%8 != 0 {
		w.bin = append(w.bin, 0)
	}
	from := len(w.bin)
	w.bin = write(w.bin)
	w.g.BufferViews = append(w.g.BufferViews, gltfBufferView{ByteOffset: from, ByteLength: len(w.bin) - from, Target: target})
	return len(w.g.BufferViews) - 1
}

func (w *glbWriter) floats(values []float32, typ string, per int) int {
	view := w.view(gltfArrayBuffer, func(b []byte) []byte {
		for _, f := range values {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
		}
		return b
	})
	w.g.Accessors = append(w.g.Accessors, gltfAccessor{BufferView: view, ComponentType: gltfFloat, Count: len(values) / per, Type: typ})
	return len(w.g.Accessors) - 1
}

func (w *glbWriter) primitive(p *primitive, material, features int) gltfPrimitive {
	position := w.floats(p.position, "VEC3", 3)
	w.g.Accessors[position].Min, w.g.Accessors[position].Max = &p.min, &p.max
	normal := w.floats(p.normal, "VEC3", 3)
	feature := w.floats(p.feature, "SCALAR", 1)
	component := gltfUnsignedInt
	if len(p.feature) < 1<<16-1 {
		component = gltfUnsignedShort
	}
	view := w.view(gltfElementBuffer, func(b []byte) []byte {
		if component == gltfUnsignedShort {
			for _, i := range p.index {
				b = binary.LittleEndian.AppendUint16(b, uint16(i))
			}
			return b
		}
		for _, i := range p.index {
			b = binary.LittleEndian.AppendUint32(b, i)
		}
		return b
	})
	w.g.Accessors = append(w.g.Accessors, gltfAccessor{BufferView: view, ComponentType: component, Count: len(p.index), Type: "SCALAR"})
	return gltfPrimitive{
		Attributes: map[string]int{"POSITION": position, "NORMAL": normal, "_FEATURE_ID_0": feature},
		Indices:    len(w.g.Accessors) - 1,
		Material:   material,
		Extensions: map[string]any{"EXT_mesh_features": map[string]any{
			"featureIds": []any{map[string]any{"featureCount": features, "attribute": 0, "propertyTable": 0, "label": "object"}},
		}},
	}
}

// table writes the property table (EXT_structural_metadata).
func (w *glbWriter) table(table []column, count int) {
	class := map[string]property{}
	values := map[string]any{}
	for _, c := range table {
		class[c.id] = c.property
		p := map[string]any{"values": w.view(0, func(b []byte) []byte { return append(b, c.values...) })}
		if c.offsets != nil {
			p["stringOffsets"] = w.view(0, func(b []byte) []byte { return append(b, c.offsets...) })
		}
		values[c.id] = p
	}
	w.g.ExtensionsUsed = []string{"EXT_structural_metadata"}
	if len(w.g.Meshes) > 0 {
		w.g.ExtensionsUsed = append(w.g.ExtensionsUsed, "EXT_mesh_features")
	}
	w.g.Extensions = map[string]any{"EXT_structural_metadata": map[string]any{
		"schema":         map[string]any{"id": "cityhub", "classes": map[string]any{"cityObject": map[string]any{"properties": class}}},
		"propertyTables": []any{map[string]any{"name": "objects", "class": "cityObject", "count": count, "properties": values}},
	}}
}
