"""How long the fuzzers run: hundreds of examples in the tests; in `make fuzz` thousands, and failures made short."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

EXAMPLES = 300
_STEPS = 60


def bounded() -> settings:
    """As the profile says that is loaded: ``pytest --hypothesis-profile=long`` for more."""
    asked = settings().max_examples
    more = asked > EXAMPLES
    return settings(
        max_examples=max(asked, EXAMPLES),
        stateful_step_count=_STEPS,
        phases=[Phase.generate, Phase.shrink] if more else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
