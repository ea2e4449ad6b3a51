"""Energy and carbon of answers, training runs and years; Software Carbon Intensity of the Green Software Foundation."""

from __future__ import annotations

from dataclasses import dataclass

HOURS_PER_YEAR = 8760.0


def energy_kwh(watts: float, hours: float, *, pue: float = 1.0) -> float:
    """kW x h x PUE; PUE is what the building takes per unit that the machine takes."""
    return watts / 1000.0 * hours * pue


def energy_per_answer_kwh(watts: float, cpu_seconds: float, *, pue: float = 1.0) -> float:
    """Energy of one answer from its own machine time."""
    return energy_kwh(watts, cpu_seconds / 3600.0, pue=pue)


def carbon_g(kwh: float, grams_per_kwh: float) -> float:
    """Operational carbon in grams CO2-equivalent."""
    return kwh * grams_per_kwh


def embodied_g(total_g: float, *, hours_used: float, hours_lived: float, share: float = 1.0) -> float:
    """M of the SCI: the machine's making, by the time and the part of it that was reserved."""
    return total_g * hours_used / hours_lived * share


def sci(kwh: float, grams_per_kwh: float, embodied: float, units: float) -> float:
    """Software Carbon Intensity: (E x I + M) / R, grams per functional unit."""
    return (kwh * grams_per_kwh + embodied) / units


@dataclass(frozen=True)
class Footprint:
    """Energy and carbon of a product in a year: what answers take, what machines take while idle, and training."""

    answers_kwh: float
    machines_kwh: float
    training_kwh: float
    grams_per_kwh: float
    embodied_g: float
    answers: float

    @property
    def carbon_g(self) -> float:
        """Everything in a year, embodied carbon included. Machines that run all year contain their answers."""
        running = max(self.answers_kwh, self.machines_kwh)
        return carbon_g(running + self.training_kwh, self.grams_per_kwh) + self.embodied_g

    @property
    def grams_per_1000(self) -> float:
        """SCI with 1,000 answers as the functional unit."""
        running = max(self.answers_kwh, self.machines_kwh)
        return 1000.0 * sci(running + self.training_kwh, self.grams_per_kwh, self.embodied_g, self.answers)


def footprint(
    *,
    answers_per_year: float,
    cpu_seconds: float,
    watts_busy: float,
    watts_idle: float,
    machines: float,
    grams_per_kwh: float,
    training_hours: float = 0.0,
    trainings_per_year: float = 1.0,
    pue: float = 1.0,
    embodied_g_per_machine_year: float = 0.0,
) -> Footprint:
    """A year of serving on whole machines that stay switched on, and of training."""
    busy = energy_per_answer_kwh(watts_busy - watts_idle, cpu_seconds, pue=pue) * answers_per_year
    always_on = energy_kwh(watts_idle * machines, HOURS_PER_YEAR, pue=pue)
    return Footprint(
        energy_per_answer_kwh(watts_busy, cpu_seconds, pue=pue) * answers_per_year,
        always_on + busy,
        energy_kwh(watts_busy, training_hours, pue=pue) * trainings_per_year,
        grams_per_kwh,
        embodied_g_per_machine_year * machines,
        answers_per_year,
    )
