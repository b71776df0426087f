"""Set how long the fuzzers run: hundreds of examples in tests, thousands in `make fuzz`."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

EXAMPLES = 300
_STEPS = 60


def bounded() -> settings:
    """Return the settings for the loaded profile; ``pytest --hypothesis-profile=long`` runs more examples."""
    examples = settings().max_examples
    more = examples > EXAMPLES
    return settings(
        max_examples=max(examples, EXAMPLES),
        stateful_step_count=_STEPS,
        phases=[Phase.generate, Phase.shrink] if more else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
