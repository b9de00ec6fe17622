"""Whether what a campaign asks to see drawn is something that it varies, against something that it fits."""

from ..config import ConfigError
from .campaign import Campaign
from .cases import case_of
from .models import labels_of
from .work import ROW_ERRORS


def check_plot(campaign: Campaign) -> None:
    """Refuse a plot of what does not vary, or of a parameter that no run fits.

    Raises
    ------
    ConfigError
        Naming the key.
    """
    x, y = (campaign.values["plot"].get(axis) for axis in ("x", "y"))
    if x is not None and x not in campaign.settings:
        known = ", ".join(campaign.settings) or "none"
        raise ConfigError(f"{campaign.source}: plot.x: expected a setting that varies ({known}), got {x!r}.")
    known = () if y is None else _fitted(campaign)
    if known and y not in known:
        raise ConfigError(f"{campaign.source}: plot.y: expected a free parameter ({', '.join(known)}), got {y!r}.")


def _fitted(campaign: Campaign) -> tuple[str, ...]:
    """Labels of what the first run of each compile group fits; a run that cannot be built says so when it is run."""
    found: dict[str, None] = {}
    for rows in campaign.groups:
        try:
            found |= dict.fromkeys(labels_of(case_of(campaign.values, rows[0].settings)))
        except ROW_ERRORS:
            continue
    return tuple(found)
