"""Campaigns: many simulated fits from one description, run anywhere, gone on with after anything, in one table."""

from .campaign import Campaign as Campaign
from .choice import executor_of as executor_of
from .coordinator import CampaignProgress as CampaignProgress
from .coordinator import resume_campaign as resume_campaign
from .coordinator import run_campaign as run_campaign
from .dask_executor import DaskExecutor as DaskExecutor
from .description import campaign_names as campaign_names
from .executors import AbstractExecutor as AbstractExecutor
from .executors import Answer as Answer
from .executors import InProcess as InProcess
from .experiment import Experiment as Experiment
from .experiment import is_experiment as is_experiment
from .preview import Preview as Preview
from .preview import preview as preview
from .processes import Processes as Processes
from .table import read_table as read_table
from .table import write_table as write_table
from .work import Outcome as Outcome
