"""The registry of MCP servers, through the stock client."""

import unittest

import requests
from suite import URI, Case, name, since

from mlflow import genai

V3 = URI + "/api/3.0/mlflow/mcp-servers"


def document(server, version, **more):
    return {"name": server, "version": version, "description": f"files, {version}", **more}


@since("3.17")
class Servers(Case):
    def setUp(self):
        super().setUp()
        self.server = "com.example/" + name("files")

    def version(self, number, **kwargs):
        return genai.register_mcp_server(server_json=document(self.server, number), tools=kwargs.pop("tools", None), **kwargs)

    def test_life(self):
        made = self.version("1.0.0", source="git", status="draft")
        self.assertEqual((made.name, made.version, str(made.status), made.source, made.tools), (self.server, "1.0.0", "draft", "git", []))
        self.assertEqual(made.server_json, document(self.server, "1.0.0"))
        server = genai.get_mcp_server(name=self.server)
        self.assertEqual((server.description, server.latest_version, str(server.status), server.access_endpoints), ("files, 1.0.0", "1.0.0", "draft", []))
        changed = genai.update_mcp_server(name=self.server, description="mine", display_name="Files", icons=[{"src": "https://example.org/a.png", "theme": "dark"}])
        self.assertEqual((changed.description, changed.display_name), ("mine", "Files"))
        self.assertEqual(changed.icons, [{"src": "https://example.org/a.png", "theme": "dark", "source": "server"}])
        genai.set_mcp_server_tag(name=self.server, key="team/x", value="a")
        self.assertEqual(genai.get_mcp_server(name=self.server).tags, {"team/x": "a"})
        genai.delete_mcp_server_tag(name=self.server, key="team/x")
        self.assertEqual(genai.get_mcp_server(name=self.server).tags, {})
        self.refused("RESOURCE_ALREADY_EXISTS", "already exists", self.version, "1.0.0")
        genai.update_mcp_server_version(name=self.server, version="1.0.0", status="active")
        self.refused("INVALID_PARAMETER_VALUE", "active version", genai.delete_mcp_server, name=self.server)
        self.refused("INVALID_PARAMETER_VALUE", "transition", genai.delete_mcp_server_version, name=self.server, version="1.0.0")
        genai.update_mcp_server_version(name=self.server, version="1.0.0", status="draft")
        genai.delete_mcp_server_version(name=self.server, version="1.0.0")
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", genai.get_mcp_server_version, name=self.server, version="1.0.0")
        genai.delete_mcp_server(name=self.server)
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", genai.get_mcp_server, name=self.server)

    def test_versions(self):
        for number in ("1.10.0", "1.9.0", "2.0.0-alpha.10", "2.0.0-alpha.2"):
            self.version(number)
        latest = lambda: genai.get_latest_mcp_server_version(name=self.server).version  # noqa: E731
        self.assertEqual(latest(), "2.0.0-alpha.10")
        genai.update_mcp_server_version(name=self.server, version="1.9.0", status="active")
        self.assertEqual(latest(), "1.9.0")
        find = lambda **kwargs: [v.version for v in genai.search_mcp_server_versions(name=self.server, **kwargs)]  # noqa: E731
        self.assertEqual(find(order_by=["version"]), ["1.9.0", "1.10.0", "2.0.0-alpha.2", "2.0.0-alpha.10"])
        self.assertEqual(find(order_by=["version DESC"], max_results=1), ["2.0.0-alpha.10"])
        self.assertEqual(find(filter_string="version < '2.0.0-alpha.2'", order_by=["version"]), ["1.9.0", "1.10.0"])
        self.assertEqual(find(filter_string="status = 'active'"), ["1.9.0"])
        page = genai.search_mcp_server_versions(name=self.server, max_results=3)
        rest = genai.search_mcp_server_versions(name=self.server, max_results=3, page_token=page.token)
        self.assertEqual((len(page), len(rest), rest.token), (3, 1, None))
        genai.set_mcp_server_version_tag(name=self.server, version="1.9.0", key="k", value="v")
        self.assertEqual(genai.get_mcp_server_version(name=self.server, version="1.9.0").tags, {"k": "v"})
        genai.delete_mcp_server_version_tag(name=self.server, version="1.9.0", key="k")
        genai.set_mcp_server_alias(name=self.server, alias="stable", version="1.10.0")
        self.assertEqual(genai.get_mcp_server_version_by_alias(name=self.server, alias="stable").aliases, ["stable"])
        genai.delete_mcp_server_alias(name=self.server, alias="stable")
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", genai.get_mcp_server_version_by_alias, name=self.server, alias="stable")
        self.refused("INVALID_PARAMETER_VALUE", "reserved", genai.set_mcp_server_alias, name=self.server, alias="latest", version="1.9.0")
        self.refused("INVALID_PARAMETER_VALUE", "semantic version", self.version, "one")

    def test_endpoints(self):
        self.version("1.0.0", status="active")
        self.version("2.0.0")
        one = genai.create_mcp_access_endpoint(server_name=self.server, url="https://example.org/mcp", server_version="1.0.0", transport_type="sse")
        self.assertEqual((one.url, str(one.transport_type), one.server_version, one.resolved_version.version), ("https://example.org/mcp", "sse", "1.0.0", "1.0.0"))
        latest = genai.create_mcp_access_endpoint(server_name=self.server, url="https://example.org/2", server_alias="latest")
        self.assertEqual((latest.server_version, latest.resolved_version.version), (None, "1.0.0"))
        self.assertEqual([e.id for e in genai.search_mcp_access_endpoints(server_name=self.server)], sorted([one.id, latest.id]))
        self.assertEqual([e.id for e in genai.search_mcp_access_endpoints(filter_string=f"server_name = '{self.server}' AND transport_type = 'sse'")], [one.id])
        self.assertEqual(len(genai.get_mcp_server(name=self.server).access_endpoints), 2)
        moved = genai.update_mcp_access_endpoint(server_name=self.server, endpoint_id=one.id, server_version="2.0.0", url="https://example.org/3")
        self.assertEqual((moved.url, moved.resolved_version.version), ("https://example.org/3", "2.0.0"))
        genai.delete_mcp_server_version(name=self.server, version="2.0.0")
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", genai.get_mcp_access_endpoint, server_name=self.server, endpoint_id=one.id)
        genai.delete_mcp_access_endpoint(server_name=self.server, endpoint_id=latest.id)
        self.assertEqual(list(genai.search_mcp_access_endpoints(server_name=self.server)), [])
        self.assertEqual([s.name for s in genai.search_mcp_servers(filter_string=f"name = '{self.server}' AND has_access_endpoints = 'false'")], [self.server])

    def test_search(self):
        prefix = name("search")
        for i in range(5):
            genai.register_mcp_server(server_json=document(f"com.example/{prefix}-{i}", "1.0.0"), tools=None)
            genai.set_mcp_server_tag(name=f"com.example/{prefix}-{i}", key="half", value=str(i % 2))
        find = lambda more="", **kwargs: [s.name[-1] for s in genai.search_mcp_servers(filter_string=f"name LIKE '%{prefix}%'" + more, **kwargs)]  # noqa: E731
        self.assertEqual(find(), list("01234"))
        self.assertEqual(find(order_by=["name DESC"], max_results=2), list("43"))
        self.assertEqual(find(" AND tags.half = '1'"), list("13"))
        self.assertEqual(find(" AND status = 'draft' AND created_at > 0", order_by=["created_at DESC"]), list("43210"))
        page = genai.search_mcp_servers(filter_string=f"name LIKE '%{prefix}%'", max_results=3)
        self.assertEqual([s.name[-1] for s in genai.search_mcp_servers(filter_string=f"name LIKE '%{prefix}%'", max_results=3, page_token=page.token)], list("34"))
        self.refused("INVALID_PARAMETER_VALUE", "", genai.search_mcp_servers, filter_string="colour = 'x'")
        self.refused("INVALID_PARAMETER_VALUE", "", genai.search_mcp_servers, order_by=["colour"])

    def test_plain(self):
        self.version("1.0.0")
        for path in (self.server, self.server.replace("/", "%2F")):
            self.assertEqual(requests.get(f"{V3}/{path}/versions/1.0.0").json()["version"], "1.0.0")
        for body, text in (({}, "name"), ({"name": "files"}, "MCP server name"), ({"name": self.server + "x", "icons": [{"src": "http://example.org/"}]}, "scheme")):
            answer = requests.post(V3, json=body)
            self.assertEqual((answer.status_code, answer.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"))
            self.assertIn(text, answer.json()["message"])


if __name__ == "__main__":
    unittest.main()
