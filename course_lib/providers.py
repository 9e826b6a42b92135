"""Who answers a vision chat: the providers by name, and which of them the settings choose.

All speak the OpenAI protocol (`POST /chat/completions`), each with its dialect; what differs stands here, in
one place. Addresses are those of the providers' own guides, read in November 2026:

- openai: developers.openai.com/api/reference
- azure: learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle (v1 since August 2025; before that
  a path per deployment, with an api-version)
- qwen: alibabacloud.com/help/en/model-studio/vision (Beijing; Singapore is dashscope-intl.aliyuncs.com)
- glm: docs.bigmodel.cn (outside China: https://api.z.ai/api/paas/v4)
- ollama: docs.ollama.com/api/openai-compatibility, vllm:
  docs.vllm.ai/en/latest/serving/openai_compatible_server
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

from . import registry, settings
from .addresses import is_address, on_this_machine
from .errors import SettingsError
from .settings import say


@dataclass(frozen=True)
class Provider:
    """A kind of endpoint, and its dialect of the protocol."""

    name: str
    base_url: str | None = None
    key_variable: str | None = None
    needs_key: bool = False
    max_tokens_field: str = "max_tokens"  # OpenAI's reasoning models take `max_completion_tokens` alone
    structured: str = "json_schema"  # the strictest `response_format` it honours
    fetches_urls: bool = False  # whether a picture's address may be handed to it
    max_side: int = 2048  # pixels; larger pictures are scaled down before they are sent
    max_bytes: int = 7_000_000  # a picture's file; base64 makes a third more of it


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider("local", max_tokens_field="max_completion_tokens", max_side=1024),
        Provider(
            "openai",
            "https://api.openai.com/v1",
            "OPENAI_API_KEY",
            needs_key=True,
            max_tokens_field="max_completion_tokens",
            fetches_urls=True,
        ),
        Provider(
            "azure",
            None,
            "AZURE_OPENAI_API_KEY",
            needs_key=True,
            max_tokens_field="max_completion_tokens",
            structured="json_schema_form",
            fetches_urls=True,
        ),
        Provider(
            "qwen",
            "https://dashscope.aliyuncs.com/compatible-mode/v1",
            "DASHSCOPE_API_KEY",
            needs_key=True,
            structured="json_object",
            fetches_urls=True,
        ),
        Provider(
            "glm",
            "https://open.bigmodel.cn/api/paas/v4",
            "ZAI_API_KEY",
            needs_key=True,
            structured="json_object",
            fetches_urls=True,
            max_bytes=5_000_000,
        ),
        Provider("ollama", "http://localhost:11434/v1"),
        Provider("vllm", "http://localhost:8000/v1", "COURSE_VLM_API_KEY"),
        # any other server: `transformers serve`, LM Studio, a gateway
        Provider("compatible", None, "COURSE_VLM_API_KEY"),
    )
}


@dataclass(frozen=True)
class Endpoint:
    """Where requests go: provider, address, model and key. The key shows in no output.

    `base_url` is None for the course's own server, which starts at the first request. `api_version` is given
    for Azure's old path per deployment, where `model` is the deployment's name.
    """

    provider: Provider
    base_url: str | None
    model: str
    api_key: SecretStr | None = field(default=None, repr=False)
    api_version: str | None = None

    def __str__(self) -> str:
        if self.base_url is None:
            where = say(zh="课程自带的服务，随用随开", en="the course's own server, started when needed")
        else:
            where = self.base_url
        return f"{self.model} @ {self.provider.name} ({where})"

    @property
    def on_this_machine(self) -> bool:
        return self.base_url is None or on_this_machine(self.base_url)


def endpoint(
    api_key: str | None = None,
    *,
    provider: str | None = None,
    base_url: str | None = None,
    model: str | None = None,
) -> Endpoint:
    """The endpoint that the arguments choose, and where they are silent the settings.

    A `base_url` alone means provider "compatible"; nothing at all means the course's own server. What the
    settings say of one provider is not used for another. Raises `SettingsError` where something is missing.
    """
    chosen = _provider(provider, base_url)
    # COURSE_VLM_BASE_URL and COURSE_VLM_MODEL belong together with COURSE_VLM_PROVIDER.
    same = provider is None and base_url is None or _provider(None, None) is chosen
    if base_url is None:
        base_url = same and settings.resolve("COURSE_VLM_BASE_URL").value or None
        if base_url is None and chosen.name == "azure":
            base_url = settings.resolve("AZURE_OPENAI_ENDPOINT").value
        base_url = base_url or chosen.base_url
    if base_url is None and chosen.name != "local":
        raise SettingsError(
            say(
                zh=f"提供商 {chosen.name} 需要地址，请传入 base_url，或设置 COURSE_VLM_BASE_URL。",
                en=f"Provider {chosen.name} needs an address, please pass base_url or set "
                "COURSE_VLM_BASE_URL.",
            )
        )
    if base_url is not None:
        _check_address(base_url)
    if model is None:
        setting = settings.resolve("COURSE_VLM_MODEL")
        if same and (setting.source != "default" or chosen.name == "local"):
            model = setting.value
    api_version = None
    if chosen.name == "azure":
        base_url, deployment, api_version = _azure(base_url)
        model = model or deployment
    if model is None:
        defaults = registry.hosted(provider=chosen.name)
        if not defaults:
            raise SettingsError(
                say(
                    zh=f"提供商 {chosen.name} 需要模型名，请传入 model，或设置 COURSE_VLM_MODEL。",
                    en=f"Provider {chosen.name} needs a model's name, please pass model or set "
                    "COURSE_VLM_MODEL.",
                )
            )
        model = defaults[0].id
    return Endpoint(chosen, base_url, model, _key(chosen, api_key, same), api_version)


def _provider(name: str | None, base_url: str | None) -> Provider:
    if name is None:
        setting = settings.resolve("COURSE_VLM_PROVIDER")
        if (
            base_url is not None
            or setting.source == "default"
            and settings.resolve("COURSE_VLM_BASE_URL").value
        ):
            name = "compatible"
        else:
            name = setting.value
    if name not in PROVIDERS:
        raise SettingsError(
            say(
                zh=f"没有名为 {name!r} 的提供商，可选：{'、'.join(PROVIDERS)}。",
                en=f"There is no provider {name!r}, please choose one of {', '.join(PROVIDERS)}.",
            )
        )
    return PROVIDERS[name]


def _check_address(base_url: str) -> None:
    if not is_address(base_url):
        raise SettingsError(
            say(
                zh="base_url 必须形如 https://主机/v1，其中不能含用户名或密码。",
                en="base_url must look like https://host/v1, without a user name or password in it.",
            )
        )


def _azure(address: str) -> tuple[str, str | None, str | None]:
    """(address, deployment, api-version) of a resource's address, or of a "target URI" from Azure's portal.

    .../openai/deployments/NAME/...?api-version=... is the old path; everything else becomes .../openai/v1.
    """
    parts = urlsplit(address)
    root = f"{parts.scheme}://{parts.netloc}"
    steps = parts.path.strip("/").split("/")
    if steps[:2] == ["openai", "deployments"] and len(steps) > 2:
        version = parse_qs(parts.query).get("api-version", [None])[0]
        if version is None:
            raise SettingsError(
                say(
                    zh="Azure 的部署地址缺少 ?api-version=…，请从门户完整复制。",
                    en="Azure's deployment address lacks ?api-version=..., please copy all of it from the "
                    "portal.",
                )
            )
        return root, steps[2], version
    return f"{root}/openai/v1", None, None


def _key(provider: Provider, argument: str | None, same: bool) -> SecretStr | None:
    key = (argument or "").strip()
    # COURSE_VLM_API_KEY goes to the address it was set for, and to no other.
    if not key and provider.key_variable and (provider.needs_key or same):
        key = settings.resolve(provider.key_variable).value or ""
        if not key and provider.needs_key:
            raise SettingsError(
                say(
                    zh=f"{provider.name} 需要密钥，请设置环境变量 {provider.key_variable}（也可写入 .env），"
                    f'或运行 course_lib.settings.enter("{provider.key_variable}")。',
                    en=f"{provider.name} needs a key, please set {provider.key_variable} in the "
                    f'environment or in .env, or run course_lib.settings.enter("{provider.key_variable}").',
                )
            )
    return check_key(key)


def check_key(key: str | None) -> SecretStr | None:
    """A key as a secret, None for none.

    `SettingsError` for what an HTTP header cannot hold: the library that finds out would print it.
    """
    key = (key or "").strip()
    if not all("!" <= letter <= "~" for letter in key):
        raise SettingsError(
            say(
                zh="密钥中有空格、换行或非 ASCII 字符，请重新复制。",
                en="The key holds a space, a line break or a non-ASCII character, please copy it again.",
            )
        )
    return SecretStr(key) if key else None
