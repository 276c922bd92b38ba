"""Increments as a PEFT method, so that adapters are saved, loaded, named and switched as with any other.

    peft.get_peft_model(model, RopewalkConfig(task_type="CAUSAL_LM"))      # after `import ropewalk.hf`
    peft.PeftModel.from_pretrained(model, folder)

Increments cannot be merged into weights, because they depend on what is read.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, check_target_module_exists
from peft.utils import PeftType, register_peft_method
from pydantic import ValidationError
from torch import Tensor, nn

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.init import init_weights
from ropewalk.errors import UserError, first_problem
from ropewalk.hf import grafting
from ropewalk.hf.grafted import Grafted
from ropewalk.hf.hooks import NAME, GraftHooks, Increments
from ropewalk.hf.identity import identity, is_quantized
from ropewalk.hf.inspect_model import HostStructure, inspect_model
from ropewalk.hf.offload import META, module_device

METHOD = "ropewalk"
"""What PEFT calls this method."""


def _peft_type(name: str) -> Any:
    """The member of PEFT's enumeration of methods, added if it is not there."""
    if name not in PeftType.__members__:
        member = str.__new__(PeftType, name)
        member._name_ = member._value_ = name
        member._sort_order_ = len(PeftType._member_names_)  # type: ignore[attr-defined]
        type.__setattr__(PeftType, name, member)  # where Python 3.12 and newer look members up
        PeftType._member_map_[name] = member
        PeftType._value2member_map_[name] = member
        PeftType._member_names_.append(name)
    return PeftType[name]


TYPE = _peft_type(METHOD.upper())
SETTINGS = tuple(name for name in IncrementConfig.model_fields if name != "table")
"""The fields of `IncrementConfig` that an adapter has."""

_Settings: Any = dataclasses.make_dataclass(
    "_Settings",
    [
        (name, IncrementConfig.model_fields[name].annotation, dataclasses.field(default=default))
        for name, default in ((name, IncrementConfig.model_fields[name].default) for name in SETTINGS)
    ],
    bases=(PeftConfig,),
)


@dataclasses.dataclass
class RopewalkConfig(_Settings):
    """A graft as an adapter's configuration: the fields of `ropewalk.IncrementConfig` (all but `table`), and these.

    seed: the first weights. target_modules: names of attention modules that get increments, all that rotate when None.
    base: the identity of the base model, filled in.
    """

    seed: int = 0
    target_modules: Any = None
    exclude_modules: Any = None
    modules_to_save: list[str] | None = None
    base: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = TYPE

    @property
    def increments(self) -> IncrementConfig:
        """The checked settings of the increments."""
        try:
            settings = {name: getattr(self, name) for name in SETTINGS}
            return IncrementConfig.model_validate_json(json.dumps(settings), strict=True)
        except ValidationError as error:
            raise UserError(f"this adapter's configuration is invalid: {first_problem(error)}.") from error


class IncrementsLayer(nn.Module, BaseTunerLayer):
    """A child of an attention (or of the decoder) that holds the increments of each adapter."""

    adapter_layer_names = ("ropewalk_increments",)
    other_param_names = ()

    def __init__(self, owner: nn.Module) -> None:
        nn.Module.__init__(self)
        self.ropewalk_increments = nn.ModuleDict()
        self.merged_adapters: list[str] = []
        self._disable_adapters = False
        self._active_adapter: Any = []
        self.__dict__["owner"] = owner

    def get_base_layer(self) -> nn.Module:
        return self.__dict__["owner"]

    def add(self, name: str, module: nn.Module, inference: bool) -> None:
        """Adds an adapter and activates it. Weights on the meta device, which PEFT fills later, stay there."""
        self.ropewalk_increments[name] = module
        if all(parameter.device != META for parameter in self.ropewalk_increments[name].parameters()):
            module.to(module_device(self.get_base_layer()))
        self.set_adapter([name], inference_mode=inference)

    def forward(self, x: Tensor) -> Tensor | None:
        """r of the active adapter for an input x (B, T, C); None when none is active."""
        if self.disable_adapters:
            return None
        active = [name for name in self.active_adapters if name in self.ropewalk_increments]
        if len(active) > 1:
            raise UserError(
                f"the adapters {', '.join(active)} both have increments and are active together, which has no meaning; "
                "activate one of them with set_adapter."
            )
        return self.ropewalk_increments[active[0]](x) if active else None

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Keeps the increments as they are: another adapter of the model is being merged."""

    def unmerge(self) -> None:
        """Does nothing, as `merge` does."""


class RopewalkTuner(BaseTuner):
    """Attaches adapters to a model and removes them."""

    prefix = "ropewalk_"
    tuner_layer_cls = IncrementsLayer
    target_module_mapping: dict[str, Any] = {}  # noqa: RUF012  # the form that PEFT expects

    def _prepare_adapter_config(self, peft_config: Any, model_config: Any) -> Any:
        config: IncrementConfig = peft_config.increments
        structure = self._structure()
        here = identity(self.model)
        compared = {"architecture"} if is_quantized(self.model) else set(here)
        differs = sorted(key for key in compared if here[key] != (peft_config.base or here).get(key))
        if differs:
            raise UserError(
                f"this adapter belongs to another base model (its {', '.join(differs)} differ from this "
                f"{here['architecture']}'s); load it onto the model it was trained on."
            )
        peft_config.base = here
        peft_config.target_modules = self._chosen(peft_config, config, structure)
        return peft_config

    def _chosen(self, peft_config: Any, config: IncrementConfig, structure: HostStructure) -> list[str]:
        """The names of the owners that `target_modules` names, or of all."""
        owners = {id(owner) for owner in grafting.owners_of(structure, config)}
        names = sorted(
            name.removeprefix("base_model.model.")
            for name, module in self.model.named_modules(remove_duplicate=False)
            if id(module) in owners
        )
        if peft_config.target_modules is None:
            return names
        chosen = [name for name in names if check_target_module_exists(peft_config, name)]
        if not chosen:
            raise UserError(
                f"target_modules {peft_config.target_modules!r} name no module that can have increments; choose among "
                f"{', '.join(names)}."
            )
        return chosen

    def _structure(self) -> HostStructure:
        if "structure" not in self.__dict__:
            self.__dict__["structure"] = inspect_model(self.model)
        return self.__dict__["structure"]

    def _create_and_replace(
        self, peft_config: Any, adapter_name: str, target: Any, *more: Any, **named: Any
    ) -> None:
        structure, config = self._structure(), peft_config.increments
        if not any(target is owner for owner in grafting.owners_of(structure, config)):
            return
        if isinstance(target._modules.get(NAME), Increments):
            raise UserError(f"{structure.name} already has a graft; detach that one first.")
        if self.__dict__.get("hooks") is None:
            self.__dict__["hooks"] = grafting.attach(structure, config)
            self.__dict__["increment_config"] = config
        elif _form(config) != _form(self.__dict__["increment_config"]):
            raise UserError(
                "adapters on one model must agree in per, per_head and gap; load this one onto a model of its own."
            )
        if not isinstance(target._modules.get(NAME), IncrementsLayer):
            target.add_module(NAME, IncrementsLayer(target))
        module = grafting.build(structure, config)
        if all(parameter.device != META for parameter in module.parameters()):
            init_weights(module, peft_config.seed)
        target._modules[NAME].add(adapter_name, module, peft_config.inference_mode)

    def unload(self) -> Any:
        """Removes hooks and increments; the base model is what it was."""
        hooks: GraftHooks | None = self.__dict__.pop("hooks", None)
        if hooks is not None:
            hooks.remove()
        for module in self.model.modules():
            if isinstance(module._modules.get(NAME), IncrementsLayer):
                del module._modules[NAME]
        return self.model

    def merge_adapter(self, *args: Any, **kwargs: Any) -> None:
        raise UserError(
            "increments depend on what is read and cannot be merged into weights; keep the adapter."
        )

    def merge_and_unload(self, *args: Any, **kwargs: Any) -> Any:
        self.merge_adapter()

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        return key.replace(f".ropewalk_increments.{adapter_name}.", ".ropewalk_increments.", 1)


def tuner_of(model: Any) -> RopewalkTuner | None:
    """The tuner of a PEFT model that holds increments, also inside another adapter; None where there is none."""
    found = model
    while found is not None:
        if isinstance(found, RopewalkTuner) and "hooks" in found.__dict__:
            return found
        inner = getattr(found, "base_model", None) if not isinstance(found, BaseTuner) else None
        found = inner if inner is not None and inner is not found else getattr(found, "model", None)
        if not isinstance(found, nn.Module) or type(found).__module__.startswith("transformers."):
            return None
    return None


def peft_host(model: Any, tokenizer: Any = None) -> Grafted:
    """A PEFT model with increments as a `ropewalk.Host`, for traces, probes and vocabulary tables.

    UserError for a PEFT model without increments.
    """
    tuner = tuner_of(model)
    if tuner is None:
        raise UserError("this PEFT model has no increments; add an adapter made with RopewalkConfig.")
    kept = tuner.__dict__
    structure: HostStructure = kept["structure"]
    layers = tuple(layer.index for layer in structure.rotary_layers if NAME in layer.attention._modules)
    return Grafted(
        model, kept["increment_config"], structure, kept["hooks"], tokenizer=tokenizer, layers=layers or None
    )


def _form(config: IncrementConfig) -> tuple[str, str, bool]:
    return config.gap, config.per, config.per_head


def register() -> None:
    """Registers the method with PEFT; calling it twice does no harm."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    if TYPE not in PEFT_TYPE_TO_CONFIG_MAPPING:
        register_peft_method(
            name=METHOD, config_cls=RopewalkConfig, model_cls=RopewalkTuner, is_mixed_compatible=True
        )


register()
