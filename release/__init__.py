"""The release train: from a tree of changes to published packages, in six stages.

``plan -> build -> stage -> verify -> publish -> announce``. A stage is made of steps, each written in a journal once
it is done (`journal`), so that a train that was stopped at any moment goes on where it was. What decides is pure
(`plan`, `bounds`, `gate`); what runs git, uv and the others is in `stages`. `README.md` is the runbook.
"""
