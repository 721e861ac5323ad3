"""Data frames: StructuredDataset and FlyteSchema, pandas, pyarrow and polars, whole and by column."""

from typing import Annotated

import pandas as pd
import polars as pl
import pyarrow as pa
from flytekit import StructuredDataset, kwtypes, task, workflow
from flytekit.types.schema import FlyteSchema

Columns = kwtypes(name=str, number=int)
Numbers = kwtypes(number=int)


@task
def make_pandas(n: int) -> pd.DataFrame:
    return pd.DataFrame({"name": [f"row {i}" for i in range(n)], "number": list(range(n))})


@task
def keep_pandas(x: pd.DataFrame) -> pd.DataFrame:
    assert list(x.columns) == ["name", "number"]
    return x


@task
def dataset(x: StructuredDataset) -> StructuredDataset:
    frame = x.open(pd.DataFrame).all()
    return StructuredDataset(dataframe=frame.assign(number=frame["number"] * 2))


@task
def numbers_only(x: Annotated[StructuredDataset, Numbers]) -> int:
    frame = x.open(pd.DataFrame).all()
    assert list(frame.columns) == ["number"]
    return int(frame["number"].sum())


@task
def keep_arrow(x: pa.Table) -> pa.Table:
    return x.slice(1)


@task
def make_polars(n: int) -> pl.DataFrame:
    return pl.DataFrame({"name": [f"row {i}" for i in range(n)], "number": list(range(n))})


@task
def keep_polars(x: pl.DataFrame) -> pl.DataFrame:
    return x.with_columns(pl.col("number") + 1)


@task
def arrow_of(x: StructuredDataset) -> int:
    return x.open(pa.Table).all().num_rows


@task
def schema(x: FlyteSchema[Columns]) -> FlyteSchema[Columns]:
    frame = x.open().all()
    out = FlyteSchema[Columns]()
    out.open().write(frame.assign(number=frame["number"] + 100))
    return out


@workflow
def pandas_frames(x: pd.DataFrame) -> pd.DataFrame:
    return keep_pandas(x=keep_pandas(x=x))


@workflow
def made_frames(n: int) -> pd.DataFrame:
    return keep_pandas(x=make_pandas(n=n))


@workflow
def datasets(n: int) -> StructuredDataset:
    return dataset(x=dataset(x=make_pandas(n=n)))


@workflow
def columns(n: int) -> int:
    return numbers_only(x=make_pandas(n=n))


@workflow
def arrow_tables(x: pa.Table) -> pa.Table:
    return keep_arrow(x=keep_arrow(x=x))


@workflow
def polars_frames(n: int) -> pl.DataFrame:
    return keep_polars(x=keep_polars(x=make_polars(n=n)))


@workflow
def one_as_another(n: int) -> tuple[int, pl.DataFrame]:
    made = make_pandas(n=n)
    return arrow_of(x=made), keep_polars(x=made)


@workflow
def schemas(n: int) -> FlyteSchema[Columns]:
    return schema(x=make_pandas(n=n))
