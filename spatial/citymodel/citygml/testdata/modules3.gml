<?xml version="1.0" encoding="UTF-8"?>
<core:CityModel xmlns:core="http://www.opengis.net/citygml/3.0" xmlns:gml="http://www.opengis.net/gml/3.2" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:bldg="http://www.opengis.net/citygml/building/3.0" xmlns:brid="http://www.opengis.net/citygml/bridge/3.0" xmlns:tun="http://www.opengis.net/citygml/tunnel/3.0" xmlns:tran="http://www.opengis.net/citygml/transportation/3.0" xmlns:wtr="http://www.opengis.net/citygml/waterbody/3.0" xmlns:veg="http://www.opengis.net/citygml/vegetation/3.0" xmlns:frn="http://www.opengis.net/citygml/cityfurniture/3.0" xmlns:luse="http://www.opengis.net/citygml/landuse/3.0" xmlns:dem="http://www.opengis.net/citygml/relief/3.0" xmlns:gen="http://www.opengis.net/citygml/generics/3.0" xmlns:grp="http://www.opengis.net/citygml/cityobjectgroup/3.0" xmlns:app="http://www.opengis.net/citygml/appearance/3.0" xmlns:con="http://www.opengis.net/citygml/construction/3.0" xmlns:uro="https://www.geospatial.jp/iur/uro/3.0">
<gml:name>fixture</gml:name>
<gml:boundedBy><gml:Envelope srsName="urn:ogc:def:crs:EPSG::4979" srsDimension="3"><gml:lowerCorner>0 0 0</gml:lowerCorner><gml:upperCorner>100 100 30</gml:upperCorner></gml:Envelope></gml:boundedBy>
<core:cityObjectMember>
<bldg:Building gml:id="b3"><gml:name>三</gml:name><core:creationDate>2021-02-03T04:05:06Z</core:creationDate>
<core:genericAttribute><gen:StringAttribute><gen:name>owner</gen:name><gen:value>city</gen:value></gen:StringAttribute></core:genericAttribute>
<core:genericAttribute><gen:IntAttribute><gen:name>flats</gen:name><gen:value>7</gen:value></gen:IntAttribute></core:genericAttribute>
<core:genericAttribute><gen:MeasureAttribute><gen:name>width</gen:name><gen:value uom="m">7.25</gen:value></gen:MeasureAttribute></core:genericAttribute>
<core:boundary><con:GroundSurface gml:id="b3_s0"><gml:name>Ground 0</gml:name><core:lod2MultiSurface><gml:MultiSurface><gml:surfaceMember><gml:Polygon gml:id="b3_p0"><gml:exterior><gml:LinearRing><gml:posList>31.3 120.6 0 31.301 120.6 0 31.301 120.601 0 31.3 120.601 0 31.3 120.6 0</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></gml:surfaceMember></gml:MultiSurface></core:lod2MultiSurface></con:GroundSurface></core:boundary>
<core:boundary><con:RoofSurface gml:id="b3_s1"><gml:name>Roof 1</gml:name><core:lod2MultiSurface><gml:MultiSurface><gml:surfaceMember><gml:Polygon gml:id="b3_p1"><gml:exterior><gml:LinearRing><gml:posList>31.3 120.6 5 31.3 120.601 5 31.301 120.601 5 31.301 120.6 5 31.3 120.6 5</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></gml:surfaceMember></gml:MultiSurface></core:lod2MultiSurface></con:RoofSurface></core:boundary>
<core:boundary><con:WallSurface gml:id="b3_s2"><gml:name>Wall 2</gml:name><core:lod2MultiSurface><gml:MultiSurface><gml:surfaceMember><gml:Polygon gml:id="b3_p2"><gml:exterior><gml:LinearRing><gml:posList>31.3 120.6 0 31.3 120.6 5 31.301 120.6 5 31.301 120.6 0 31.3 120.6 0</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></gml:surfaceMember></gml:MultiSurface></core:lod2MultiSurface></con:WallSurface></core:boundary>
<core:boundary><con:WallSurface gml:id="b3_s3"><gml:name>Wall 3</gml:name><core:lod2MultiSurface><gml:MultiSurface><gml:surfaceMember><gml:Polygon gml:id="b3_p3"><gml:exterior><gml:LinearRing><gml:posList>31.301 120.6 0 31.301 120.6 5 31.301 120.601 5 31.301 120.601 0 31.301 120.6 0</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></gml:surfaceMember></gml:MultiSurface></core:lod2MultiSurface></con:WallSurface></core:boundary>
<core:boundary><con:WallSurface gml:id="b3_s4"><gml:name>Wall 4</gml:name><core:lod2MultiSurface><gml:MultiSurface><gml:surfaceMember><gml:Polygon gml:id="b3_p4"><gml:exterior><gml:LinearRing><gml:posList>31.301 120.601 0 31.301 120.601 5 31.3 120.601 5 31.3 120.601 0 31.301 120.601 0</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></gml:surfaceMember></gml:MultiSurface></core:lod2MultiSurface></con:WallSurface></core:boundary>
<core:boundary><con:WallSurface gml:id="b3_s5"><gml:name>Wall 5</gml:name><core:lod2MultiSurface><gml:MultiSurface><gml:surfaceMember><gml:Polygon gml:id="b3_p5"><gml:exterior><gml:LinearRing><gml:posList>31.3 120.601 0 31.3 120.601 5 31.3 120.6 5 31.3 120.6 0 31.3 120.601 0</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></gml:surfaceMember></gml:MultiSurface></core:lod2MultiSurface><con:fillingSurface><con:WindowSurface gml:id="w3"><core:lod3MultiSurface><gml:MultiSurface><gml:surfaceMember><gml:Polygon><gml:exterior><gml:LinearRing><gml:posList>31.3 120.6 1 31.3 120.61 1 31.3 120.61 2 31.3 120.6 1</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></gml:surfaceMember></gml:MultiSurface></core:lod3MultiSurface></con:WindowSurface></con:fillingSurface></con:WallSurface></core:boundary>
<core:lod2Solid><gml:Solid><gml:exterior><gml:Shell><gml:surfaceMember xlink:href="#b3_p0"/><gml:surfaceMember xlink:href="#b3_p1"/><gml:surfaceMember xlink:href="#b3_p2"/><gml:surfaceMember xlink:href="#b3_p3"/><gml:surfaceMember xlink:href="#b3_p4"/><gml:surfaceMember xlink:href="#b3_p5"/></gml:Shell></gml:exterior></gml:Solid></core:lod2Solid>
<con:height><con:Height><con:highReference>highestRoofEdge</con:highReference><con:lowReference>lowestGroundPoint</con:lowReference><con:status>measured</con:status><con:value uom="m">5</con:value></con:Height></con:height>
<bldg:storeysAboveGround>2</bldg:storeysAboveGround>
<bldg:buildingPart><bldg:BuildingPart gml:id="bp3"/></bldg:buildingPart><bldg:buildingRoom><bldg:BuildingRoom gml:id="br3"/></bldg:buildingRoom></bldg:Building>
</core:cityObjectMember>
<core:cityObjectMember>
<tran:Road gml:id="r3"><tran:section><tran:Section gml:id="s3"><tran:trafficSpace><tran:TrafficSpace gml:id="ts3"><core:boundary><tran:TrafficArea gml:id="ta3"><core:lod2MultiSurface><gml:MultiSurface><gml:surfaceMember><gml:Polygon><gml:exterior><gml:LinearRing><gml:posList>31.3 120.6 0 31.31 120.6 0 31.31 120.61 0 31.3 120.6 0</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></gml:surfaceMember></gml:MultiSurface></core:lod2MultiSurface></tran:TrafficArea></core:boundary><core:lod0MultiCurve><gml:MultiCurve><gml:curveMember><gml:Curve><gml:segments><gml:LineStringSegment><gml:posList srsDimension="2">31.3 120.6 31.31 120.61</gml:posList></gml:LineStringSegment></gml:segments></gml:Curve></gml:curveMember></gml:MultiCurve></core:lod0MultiCurve></tran:TrafficSpace></tran:trafficSpace></tran:Section></tran:section></tran:Road>
</core:cityObjectMember>
<core:cityObjectMember>
<frn:CityFurniture gml:id="f3"><core:lod1ImplicitRepresentation><core:ImplicitGeometry><core:transformationMatrix>1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1</core:transformationMatrix><core:libraryObject>lamp.gltf</core:libraryObject><core:referencePoint><gml:Point><gml:pos>31.3 120.6 4</gml:pos></gml:Point></core:referencePoint></core:ImplicitGeometry></core:lod1ImplicitRepresentation></frn:CityFurniture>
</core:cityObjectMember>
<core:cityObjectMember>
<wtr:WaterBody gml:id="wb3"><core:boundary><wtr:WaterSurface><core:lod2MultiSurface><gml:MultiSurface><gml:surfaceMember><gml:Polygon><gml:exterior><gml:LinearRing><gml:posList>31.3 120.6 0 31.31 120.61 0 31.31 120.6 0 31.3 120.6 0</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></gml:surfaceMember></gml:MultiSurface></core:lod2MultiSurface></wtr:WaterSurface></core:boundary></wtr:WaterBody>
</core:cityObjectMember>
<core:cityObjectMember>
<veg:PlantCover gml:id="pc3"><core:lod1MultiSurface><gml:MultiSurface><gml:surfaceMember><gml:Polygon><gml:exterior><gml:LinearRing><gml:posList>31.3 120.6 0 31.31 120.61 0 31.31 120.6 0 31.3 120.6 0</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></gml:surfaceMember></gml:MultiSurface></core:lod1MultiSurface></veg:PlantCover>
</core:cityObjectMember>
<core:cityObjectMember>
<tun:Tunnel gml:id="tu3"><tun:hollowSpace><tun:HollowSpace gml:id="hs3"/></tun:hollowSpace></tun:Tunnel>
</core:cityObjectMember>
<core:cityObjectMember>
<brid:Bridge gml:id="bd3"><brid:bridgeConstructiveElement><brid:BridgeConstructiveElement gml:id="be3"/></brid:bridgeConstructiveElement></brid:Bridge>
</core:cityObjectMember>
<core:cityObjectMember>
<gen:GenericOccupiedSpace gml:id="go3"><core:lod0Point><gml:Point><gml:pos>31.3 120.6 1</gml:pos></gml:Point></core:lod0Point></gen:GenericOccupiedSpace>
</core:cityObjectMember>
<core:cityObjectMember>
<luse:LandUse gml:id="lu3"><luse:class>x</luse:class></luse:LandUse>
</core:cityObjectMember>
<core:cityObjectMember>
<dem:ReliefFeature gml:id="rf3"><dem:lod>1</dem:lod></dem:ReliefFeature>
</core:cityObjectMember>
</core:CityModel>
