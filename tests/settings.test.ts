/** How a variable's text becomes a value: the forms that are accepted, and those that are not. */
import { describe, expect, test } from 'bun:test';
import { Settings } from '../src/settings.ts';

const read = (text: string) => {
  const settings = new Settings({ NAME: text });
  return {
    faults: settings.faults,
    integer: () => settings.integer('NAME', { fallback: 5, min: 1, max: 64 }),
    address: () => settings.address('NAME', '127.0.0.1:8192'),
  };
};

test('an integer is plain digits', () => {
  expect([read('1').integer(), read('64').integer(), read('064').integer()]).toEqual([1, 64, 64]);
  const wrong = ['1.0', '1e1', '0x4', '+4', ' 4', '4 ', '4\n', 'four', '-0', '٤', '1'.repeat(400)];
  for (const text of wrong) {
    const { faults, integer } = read(text);
    expect(integer()).toBe(5);
    expect(faults).toEqual([`NAME: must be an integer from 1 to 64, not "${text}"`]);
  }
});

test('an empty variable is one that is not set', () => {
  const { faults, integer, address } = read('');
  expect([integer(), address()]).toEqual([5, { host: '127.0.0.1', port: 8192 }]);
  expect(faults).toEqual([]);
});

describe('an address', () => {
  test.each([
    [':8192', '', 8192],
    ['127.0.0.1:1', '127.0.0.1', 1],
    ['localhost:65535', 'localhost', 65_535],
    ['[::1]:8192', '::1', 8192],
    ['[::]:80', '::', 80],
  ])('%s is host "%s", port %d', (text, host, port) => {
    const { faults, address } = read(text);
    expect(address()).toEqual({ host, port });
    expect(faults).toEqual([]);
  });

  test('has a port from 1 to 65535, an IPv6 host in brackets, and nothing else', () => {
    const ports = ['8192', 'localhost', 'h:', 'h:0', 'h:65536', 'h:x', 'h:-1', 'h:80/', 'h:80\n'];
    const hosts = ['::1:80', '::1', '[::1]', '[::1:80', '[h]:80', 'a b:1', 'http://h:80'];
    for (const text of [...ports, ...hosts]) {
      const { faults, address } = read(text);
      address();
      const rule = 'NAME: must be [host]:port with a port from 1 to 65535';
      expect(faults).toEqual([`${rule}, not "${text}"`]);
    }
  });
});
