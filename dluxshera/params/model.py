"""`Model`: the base of every module that declares parameters."""

import equinox as eqx

from .checks import check_fields


class Model(eqx.Module):
    """An `eqx.Module` whose declared fields are checked when it is built and shown as a table in notebooks.

    Raises
    ------
    ParameterError
        At construction, if a parameter or buffer has the wrong shape.
    TypeError
        At construction, if a parameter is not a number or a static value cannot be part of the structure.
    """

    def __check_init__(self):
        check_fields(self)

    def _repr_html_(self) -> str:
        from .describe import describe

        return describe(self)._repr_html_()
