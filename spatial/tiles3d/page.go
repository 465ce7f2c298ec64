package tiles3d

import (
	"bytes"
	"fmt"
	"html/template"
)

// page is the list for people, Chinese and English side by side.
func page(entries []entry) ([]byte, error) {
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("tiles3d: page: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, entries); err != nil {
		return nil, fmt.Errorf("tiles3d: page: %w", err)
	}
	return b.Bytes(), nil
}

const pageHTML = `<!DOCTYPE html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>三维瓦片 3D Tiles</title>
<style>
body { font: 16px/1.6 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .8rem; border-bottom: 1px solid #ccc; }
td.n, th.n { text-align: right; }
</style>
</head>
<body>
<main>
<h1>三维瓦片 <span lang="en">3D Tiles 1.1</span></h1>
<p>城市信息模型的三维瓦片集。请在支持 3D Tiles 1.1 的软件中打开 tileset.json 地址。<br>
<span lang="en">The city model as 3D Tiles. Open the address of a tileset.json in software that reads 3D Tiles 1.1.</span></p>
<table>
<thead><tr><th scope="col">瓦片集 <span lang="en">Tileset</span></th><th scope="col" class="n">对象数 <span lang="en">Objects</span></th><th scope="col">地址 <span lang="en">Address</span></th></tr></thead>
<tbody>
{{range .}}<tr><td>{{.Title}} <span lang="en">{{.TitleEn}}</span></td><td class="n">{{.Objects}}</td><td><a href="{{.Href}}">{{.ID}}/tileset.json</a></td></tr>
{{end}}</tbody>
</table>
<p><a href="?f=json">JSON</a></p>
</main>
</body>
</html>
`
