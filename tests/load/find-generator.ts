/**
 * Which load generator is used: oha, else wrk, when installed, else autocannon from npm, fetched
 * for the run.
 * Invariant: one generator loads all contenders, so its own cost, on the same cores, is the same.
 */
import { autocannonGenerator } from './autocannon-generator.ts';
import { type GeneratorMaker, type LoadGenerator, TrafficFiles } from './load-generator.ts';
import { ohaGenerator } from './oha-generator.ts';
import type { Stage } from './stage.ts';
import { wrkGenerator } from './wrk-generator.ts';

/**
 * @param name only this one; without it the first that is there.
 * @param suits what else it must be able to do.
 */
export async function findGenerator(
  stage: Stage,
  name?: string,
  suits: (generator: LoadGenerator) => boolean = () => true,
): Promise<LoadGenerator> {
  const makers: Record<string, GeneratorMaker> = {
    oha: ohaGenerator,
    wrk: wrkGenerator,
    autocannon: autocannonGenerator,
  };
  const files = new TrafficFiles(stage.folder);
  for (const [candidate, make] of Object.entries(makers)) {
    const found = name === undefined || name === candidate ? await make(stage, files) : null;
    if (found && suits(found)) return found;
  }
  throw new Error(
    `no load generator "${name}" that suits: install oha, which is preferred, or wrk`,
  );
}
